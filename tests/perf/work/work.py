# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Python programs do: objects, dictionaries, strings, regular expressions, floats."""
import re


class Body:
    def __init__(self, place, speed, mass):
        self.place, self.speed, self.mass = list(place), list(speed), mass

    def pull(self, other, step):
        gap = [a - b for a, b in zip(self.place, other.place)]
        force = step / (sum(d * d for d in gap) + 0.01) ** 1.5
        for axis in range(3):
            self.speed[axis] -= gap[axis] * other.mass * force
            other.speed[axis] += gap[axis] * self.mass * force


def bodies(steps):
    system = [Body((i, i * i % 7, -i), (0, i % 3, 1), 1 + i % 2) for i in range(6)]
    for _ in range(steps):
        for i, one in enumerate(system):
            for other in system[i + 1:]:
                one.pull(other, 0.001)
        for body in system:
            body.place = [p + 0.001 * s for p, s in zip(body.place, body.speed)]
    return round(sum(body.place[0] for body in system), 9)


def words(count):
    state, text = 1, []
    for _ in range(count):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        text.append("abcdefgh"[state >> 16 & 7] * (1 + (state >> 20) % 4))
    found, joined = {}, " ".join(text)
    for word in re.findall(r"\b([a-h])(\1*)\b", joined):
        found[word[0], len(word[1])] = found.get((word[0], len(word[1])), 0) + 1
    return sorted(found.items())[:5], len(re.sub("aa+", "A", joined))


def sieve(limit):
    prime = [True] * limit
    for n in range(2, limit):
        if prime[n]:
            for multiple in range(n * n, limit, n):
                prime[multiple] = False
    return sum(prime)


print(bodies(6000), words(200000), sieve(1500000))
print(sorted({str(n * n % 10007): n for n in range(300000)}.items())[-1], 3 ** 20000 % 1000007)
