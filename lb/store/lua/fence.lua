-- Keeps out what a health-checker says whose lead is over, though it does not know: it stood still, or its word came
-- late. The error to return if so; the empty term is of who needs no lead.
-- KEYS: checker checker_term
local function deposed(term)
  if term == '' then return nil end
  if redis.call('EXISTS', checker) == 1 and redis.call('GET', checker_term) == term then return nil end
  return redis.error_reply('DEPOSED this health-checker no longer leads')
end
