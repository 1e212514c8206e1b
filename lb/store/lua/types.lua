-- Deletes keys of another type than ours, which somebody else has written: to us they are missing. A command on one of
-- them would end the script halfway. Those behind the named keys are hashes.
--@include event
do
  local types, odd = { @TYPES }, {}
  for i, key in ipairs(KEYS) do
    local found, ours = redis.call('TYPE', key).ok, types[i] or 'hash'
    if found ~= ours and found ~= 'none' then
      redis.call('DEL', key)
      odd[#odd + 1] = key .. ' was a ' .. found .. ', not a ' .. ours
    end
  end
  for _, what in ipairs(odd) do event('repaired', '', '', what) end
end
