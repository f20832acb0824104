-- Sends requests that were rendered before the clock started: picking the next one is all that is left to do.
-- Arguments: file of paths, requests per write, Host, whether there are the fields that a browser sends, and whether
-- connections are kept.

local requests, count, at = {}, 0, 0

local agents = {
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
  "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
}
local languages = { "en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3", "pt-BR,pt;q=0.9" }
local referers = { "https://www.google.com/", "https://t.co/", "https://news.example/today?page=2", "https://www.example.org/a/page" }

-- What one browser sends with each request. Half of them say where they come from.
local function browser()
  local fields = "User-Agent: " .. agents[math.random(#agents)]
    .. "\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    .. "\r\nAccept-Encoding: gzip, deflate, br"
    .. "\r\nAccept-Language: " .. languages[math.random(#languages)]
  if math.random(2) == 1 then fields = fields .. "\r\nReferer: " .. referers[math.random(#referers)] end
  return fields .. "\r\n"
end

function init(args)
  local depth, host, fields = tonumber(args[2]), args[3], ""
  -- The last field, by which the floor knows it.
  local last = args[5] == "close" and "Connection: close\r\n" or ""
  local group = {}
  math.randomseed(1)
  for path in io.lines(args[1]) do
    -- What comes over a connection in one go comes from one browser.
    if #group == 0 and args[4] == "browser" then fields = browser() end
    group[#group + 1] = "GET " .. path .. " HTTP/1.1\r\nHost: " .. host .. "\r\n" .. fields .. last .. "\r\n"
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
