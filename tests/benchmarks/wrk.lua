-- Arguments: method, bytes of body. Prints what wrk counted, exactly, as the last line.
function init(arguments)
  wrk.method = arguments[1]
  if arguments[2] ~= '0' then wrk.body = string.rep('x', tonumber(arguments[2])) end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"microseconds":%d,"bytes":%d,"p50_microseconds":%d,"p99_microseconds":%d,'
      .. '"worst_microseconds":%d,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    latency.max, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
