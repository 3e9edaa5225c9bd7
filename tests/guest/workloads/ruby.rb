# SPDX-License-Identifier: LGPL-2.1-or-later
# Strings, big numbers, fibers, threads, processes, the garbage collector.
require "bigdecimal"
require "digest"

state = 12345
chance = -> { state = (state * 1103515245 + 12345) % 2147483648 }
numbers = Array.new(100_000) { chance.() }
puts Digest::SHA256.hexdigest(numbers.sort.join(",")), numbers.sum, numbers.max
puts (1..200).inject(:*).to_s.sum, 3**2000 % 10**50, BigDecimal("2").sqrt(60).to_s
text = numbers.map { |v| v.to_s(36) }.join(" ")
puts text.scan(/\b[a-f]\w+\d\b/).size, Digest::MD5.hexdigest(text.gsub(/([a-z])(\d)/) { $2 + $1 })
puts numbers.first(2000).map { |v| Math.sin(v) * Math.exp(v % 20) }.sum
puts numbers.first(1000).map { |v| (v / 7.0).round(3) }.sum

fiber = Fiber.new do
  i = 0
  loop { Fiber.yield i += 1 }
end
puts 50_000.times.map { fiber.resume }.sum
threads = 4.times.map do |k|
  Thread.new do
    sum = 0
    200_000.times { |i| sum += i * k }
    sum
  end
end
puts threads.map(&:value).inspect

def fibonacci(n) = n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2)
puts fibonacci(24)
answers = 20.times.map do |i|
  raise "no #{i}" if i % 3 == 0
  i
rescue StandardError => e
  e.message
end
puts answers.inspect
10.times do |i|
  Process.wait(fork { exit i })
  print $?.exitstatus, " "
end
puts
GC.start
GC.stress = true
strings = (1..60).map { |i| "x" * i }
GC.stress = false
puts strings.join.size, RubyVM::InstructionSequence.compile("1 + 2 * 3").eval
