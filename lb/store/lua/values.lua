-- Reads what somebody else may have written: each returns nil for a value that lb never writes.
local LARGEST = 2 ^ 53

local function whole(text, least, most)
  local number = type(text) == 'string' and #text <= 16 and text:find('^%d+$') and tonumber(text)
  return number and number >= (least or 0) and number <= (most or LARGEST) and number or nil
end

local function moment(text)
  local number = tonumber(text or nil)
  return number and number >= 0 and number < LARGEST and number or nil
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

local function server_url(text)
  return text and not text:find('%c') and text:find('^%l+:/.') and text or nil
end
