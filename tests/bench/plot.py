# SPDX-License-Identifier: BSD-2-Clause
"""Points (x, [y of each round]): how their medians grow, in words, and drawn as SVG."""
import math
import statistics

COLOURS = "#1b6ca8", "#d1495b", "#3c8d53", "#8a5fbf", "#c98a1b", "#2aa1a1", "#7a4a2b", "#d65fb0", "#5c6b73", "#9aa81b"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 80, 20, 40, 60


def medians(points):
    return [(x, statistics.median(values)) for x, values in points]


def slope_of(points):
    """(y at 0, y per x) of the straight line through points."""
    mx, my = statistics.mean(x for x, _ in points), statistics.mean(y for _, y in points)
    square = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / square if square else 0.0
    return my - slope * mx, slope


def growth(points, unit=""):
    """How y grows with x, in words: the exponent of the power law through the upper half of the points, and the straight line through all."""
    points = medians(points)
    at_zero, each = slope_of(points)
    logs = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0]
    upper = logs[len(logs) // 2 - (len(logs) < 4):] if len(logs) > 2 else logs
    if len(upper) < 2:
        return "has too few points"
    _, exponent = slope_of(upper)
    words = ((-1.2, "falls faster than its inverse"), (-0.8, "falls as its inverse"), (-0.1, "falls, slower than its inverse"),
             (0.1, "does not depend on it"), (0.8, "grows slower than in proportion"), (1.2, "grows in proportion"))
    word = next((w for limit, w in words if exponent < limit), "grows faster than in proportion")
    return f"{word} (exponent {exponent:.2f})" + (f": {each:.3g} {unit} for each and {at_zero:.3g} besides" if exponent > 0.1 else "")


def ticks_of(low, high, log):
    if log:
        return [10 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    step = 10 ** math.floor(math.log10(max(high - low, 1e-9)))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (step * f) <= 8)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def svg(title, x_name, y_name, series, log_x=False, log_y=False):
    """A line through the medians of each {name: points}, and from minimum to maximum at each."""
    series = {name: [(x, [y for y in values if y > 0 or not log_y]) for x, values in points if x > 0 or not log_x]
              for name, points in series.items()}
    every = [(x, y) for points in series.values() for x, values in points for y in values]
    xs = ticks_of(min(x for x, _ in every), max(x for x, _ in every), log_x)
    ys = ticks_of(0 if not log_y else min(y for _, y in every), max(y for _, y in every), log_y)

    def place(value, ticks, log, begin, size):
        scale = math.log10 if log else float
        low, high = scale(ticks[0]), scale(ticks[-1])
        return begin + size * (scale(value) - low) / ((high - low) or 1)
    at = lambda x, y: (place(x, xs, log_x, LEFT, WIDTH - LEFT - RIGHT), place(y, ys, log_y, HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', f'<text x="{WIDTH / 2}" y="22" text-anchor="middle" font-size="15">{title}</text>']
    for x in xs:
        px, _ = at(x, ys[0])
        out += [f'<line x1="{px:.1f}" y1="{TOP}" x2="{px:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>',
                f'<text x="{px:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>']
    for y in ys:
        _, py = at(xs[0], y)
        out += [f'<line x1="{LEFT}" y1="{py:.1f}" x2="{WIDTH - RIGHT}" y2="{py:.1f}" stroke="#ddd"/>',
                f'<text x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>']
    out += [f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{x_name}</text>',
            f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{y_name}</text>']
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        placed = [(at(x, statistics.median(values)), at(x, min(values))[1], at(x, max(values))[1]) for x, values in points if values]
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' + " ".join(f"{x:.1f},{y:.1f}" for (x, y), _, _ in placed) + '"/>')
        for (x, y), low, high in placed:
            out += [f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}"/>',
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>']
        out.append(f'<text x="{LEFT + 10}" y="{TOP + 16 + 16 * i}" fill="{colour}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"
