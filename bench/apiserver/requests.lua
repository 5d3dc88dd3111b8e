-- wrk: requests that differ in numbers only. Arguments: METHOD PATH BODY-FILE CONTENT-TYPE TOKEN FIRST COUNT. In the path and the
-- body, each `@@@@@@@@` is the turn's number out of FIRST … FIRST+COUNT-1, each `########` counts on for ever: eight digits both.
local pieces = {}
local first, count = 0, 1
local turn = -1

init = function(args)
  local method, path, file, contentType, token = args[1], args[2], args[3], args[4], args[5]
  first, count = tonumber(args[6]), tonumber(args[7])
  local headers = { ['authorization'] = 'Bearer ' .. token }
  local body
  if file ~= '' then
    local input = assert(io.open(file, 'rb'))
    body = input:read('*a')
    input:close()
    headers['content-type'] = contentType
  else
    headers['accept'] = contentType
  end
  local whole = wrk.format(method, path, headers, body)
  local at = 1
  while true do
    local found = whole:find('[@#][@#][@#][@#][@#][@#][@#][@#]', at)
    if not found then break end
    pieces[#pieces + 1] = whole:sub(at, found - 1)
    pieces[#pieces + 1] = whole:sub(found, found)
    at = found + 8
  end
  pieces[#pieces + 1] = whole:sub(at)
end

request = function()
  turn = turn + 1
  if #pieces == 1 then return pieces[1] end
  local named = string.format('%08d', first + turn % count)
  local counted = string.format('%08d', turn)
  local parts = {}
  for i = 1, #pieces do
    local piece = pieces[i]
    if i % 2 == 1 then parts[i] = piece elseif piece == '@' then parts[i] = named else parts[i] = counted end
  end
  return table.concat(parts)
end
