-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Traces, side exits, floats, callbacks from C, and code that is thrown away and made anew.
local bit = require "bit"
local ffi = require "ffi"

local state = 12345
local function chance()
	state = (state * 1103515245 + 12345) % 2147483648
	return state
end

local sum = 0
for i = 1, 2e7 do sum = (sum + i * 3) % 1000003 end
print("sum", sum)

local numbers = {}
for i = 1, 200000 do numbers[i] = chance() end
table.sort(numbers)
local hash = 0
for i = 1, #numbers do hash = bit.bxor(bit.rol(hash, 5), numbers[i] % 4294967296) end
print("sort", hash)

local total = 0.0
for i = 1, 3e6 do total = total + math.sin(i) * math.cos(i / 3) - math.sqrt(i) end
print("float", string.format("%.17g", total))

local n = 150
local a, b = ffi.new("double[?]", n * n), ffi.new("double[?]", n * n)
for i = 0, n * n - 1 do a[i], b[i] = math.sin(i), math.cos(i) end
total = 0
for i = 0, n - 1 do
	for j = 0, n - 1 do
		local s = 0
		for k = 0, n - 1 do s = s + a[i * n + k] * b[k * n + j] end
		total = total + s * (i - j)
	end
end
print("matrix", string.format("%.17g", total))

local parts, count = {}, 0
for i = 1, 100000 do
	parts[i] = string.format("%x:%5.2f:%s", chance() % 65536, i / 7, ("ab"):rep(i % 5))
end
local text = table.concat(parts, ",")
for word in text:gmatch("[%x]+:") do count = count + #word end
print("strings", #text, count)

local function kind(v)
	if type(v) == "number" then return v + 1 elseif type(v) == "string" then return #v end
	return 7
end
local values, result = { 1, "abc", {}, 2.5, "x", nil, true }, 0
for i = 1, 3e6 do result = result + kind(values[i % 7 + 1]) end
print("kinds", result)

local routine = coroutine.wrap(function()
	local i = 0
	while true do i = i + 1; coroutine.yield(i * 2) end
end)
total = 0
for _ = 1, 300000 do total = total + routine() end
local errors = 0
for i = 1, 200000 do
	if not pcall(function() if i % 3 == 0 then error("x") end end) then errors = errors + 1 end
end
print("coroutine", total, "errors", errors)

ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const int *, const int *));"
local ints = ffi.new("int[20000]")
for i = 0, 19999 do ints[i] = chance() % 100000 end
local compare = ffi.cast("int (*)(const int *, const int *)", function(p, q) return p[0] - q[0] end)
ffi.C.qsort(ints, 20000, 4, compare)
compare:free()
hash = 0
for i = 0, 19999 do hash = (hash * 31 + ints[i]) % 2147483647 end
local wide = 0LL
for i = 1, 2000000 do wide = bit.bxor(wide * 6364136223846793005LL + 1442695040888963407LL, i) end
print("callback", hash, "int64", wide)

for k = 1, 60 do
	jit.flush()
	local s = 0
	for i = 1, 20000 do s = bit.bxor(s, bit.lshift(i, k % 20)) end
	if k % 20 == 0 then print("flush", s) end
end
for k = 1, 400 do
	local made = loadstring("local s = 0 for i = 1, 2000 do s = s + i * " .. k .. " end return s")
	local value = made()
	if k % 100 == 0 then print("load", value) end
end
