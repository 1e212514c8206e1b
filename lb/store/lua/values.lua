-- Reads what somebody else may have written: each returns nil for a value that lb never writes.
local LARGEST = 2 ^ 53

local function whole(text, least, most)
  if type(text) ~= 'string' or #text > 16 or not text:find('^%d+$') or text:find('^0.') then return nil end
  local number = tonumber(text)
  return number >= (least or 0) and number <= (most or LARGEST - 1) and number or nil
end

-- The bound leaves room for the versions to come.
local function pool_version(text) return whole(text, 0, 2 ^ 50) end

local function moment(text)
  local number = type(text) == 'string' and text:find('^%d+%.?%d*$') and tonumber(text)
  return number and number < LARGEST and number or nil
end

local function one_of(...)
  local allowed = {}
  for _, word in ipairs({ ... }) do allowed[word] = word end
  return function(text) return allowed[text] end
end

local function server_id(text)
  if text:find('^unix:/[^%s%c]+$') then return text end
  return whole(text:match('^[^%s%c]+:(%d+)$'), 1, 65535) and text or nil
end

-- A URL is the server's id behind a scheme; that of a unix socket is the id.
local function server_url(text, id)
  return text and (text:match('^%l+://(.+)$') or text:match('^unix:.+$')) == id and text or nil
end
