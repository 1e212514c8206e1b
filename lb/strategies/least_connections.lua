-- The server with the fewest requests in flight for its weight. The twin of least_connections.py.
-- `load` orders the eligible servers by connections / weight; `counted` keeps it so.
-- KEYS: load cursor weights connections
local weight = {} -- of the servers met in this batch

local function rotate(tied) return tied == 1 and 0 or (redis.call('INCR', cursor) - 1) % tied end

strategies['least-connections'] = {
  pick = function(excluded)
    if next(excluded) then
      local least, tied = nil, {}
      local all = redis.call('ZRANGE', load, 0, -1, 'WITHSCORES')
      for i = 1, #all, 2 do
        if not excluded[all[i]] then
          least = least or all[i + 1]
          if all[i + 1] ~= least then break end
          tied[#tied + 1] = all[i]
        end
      end
      return least and tied[rotate(#tied) + 1]
    end
    local first = redis.call('ZRANGE', load, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    local position = rotate(redis.call('ZCOUNT', load, first[2], first[2]))
    if position == 0 then return first[1] end
    return redis.call('ZRANGE', load, position, position)[1]
  end,

  counted = function(id, connections_now)
    weight[id] = weight[id] or redis.call('HGET', weights, id) or 1
    redis.call('ZADD', load, 'XX', connections_now / weight[id], id)
  end,

  prepare = function(eligible)
    redis.call('DEL', load)
    for _, id in ipairs(eligible) do
      local connections_now = redis.call('HGET', connections, id) or 0
      redis.call('ZADD', load, connections_now / redis.call('HGET', weights, id), id)
    end
  end,
}
