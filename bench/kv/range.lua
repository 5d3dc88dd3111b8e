-- wrk: linearizable reads of one key, bench/000001, through the JSON gateway.
wrk.method = 'POST'
wrk.path = '/v3/kv/range'
wrk.headers['content-type'] = 'application/json'
wrk.body = '{"key":"YmVuY2gvMDAwMDAx"}'
