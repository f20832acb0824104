-- Sends requests that were rendered before the clock started: picking the next one is all that is left to do.
-- Arguments: file of paths, requests per write, Host.

local requests, count, at = {}, 0, 0

function init(args)
  local depth, host = tonumber(args[2]), args[3]
  local group = {}
  for path in io.lines(args[1]) do
    group[#group + 1] = "GET " .. path .. " HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n"
    if #group == depth then
      count = count + 1
      requests[count] = table.concat(group)
      group = {}
    end
  end
end

function request()
  at = at + 1
  if at > count then at = 1 end
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format("peers %d %d %d %d %d %d %d %.0f %.0f\n",
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
