-- wrk: puts of VALUE_BYTES into KEYS keys in turn through the JSON gateway.
local function base64(data)
  local alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return (data:gsub('..?.?', function(three)
    local a, b, c = three:byte(1, 3)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    local text = ''
    for i = 3, 0, -1 do
      local digit = math.floor(bits / 64 ^ i) % 64 + 1
      text = text .. alphabet:sub(digit, digit)
    end
    if not b then return text:sub(1, 2) .. '==' end
    if not c then return text:sub(1, 3) .. '=' end
    return text
  end))
end

local KEYS, VALUE_BYTES = 1000, 256
local requests = {}
local turn = 0

init = function()
  math.randomseed(1)
  for i = 1, KEYS do
    local value = {}
    for j = 1, VALUE_BYTES do value[j] = string.char(math.random(0, 255)) end
    local body = string.format('{"key":"%s","value":"%s"}', base64(string.format('bench/%06d', i)), base64(table.concat(value)))
    requests[i] = wrk.format('POST', '/v3/kv/put', { ['content-type'] = 'application/json' }, body)
  end
end

request = function()
  turn = turn % KEYS + 1
  return requests[turn]
end
