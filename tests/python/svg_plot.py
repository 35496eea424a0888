# SPDX-License-Identifier: Apache-2.0
"""Line plots as small SVG files, for figures that tests draw."""

import pathlib

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 440, 260, 56, 40, 30


def panel(title, y_label, series, x_label="update", offset=0):
    """One plot. `series`: (name, dashed, [(x, y), ...])."""
    xs = [x for _, _, points in series for x, _ in points]
    ys = [y for _, _, points in series for _, y in points]
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.06 or 0.5
    low, high = low - pad, high + pad

    def at(x, y):
        across = (x - min(xs)) / ((max(xs) - min(xs)) or 1)
        up = (y - low) / (high - low)
        return (
            LEFT + across * (WIDTH - LEFT - 12),
            TOP + (1 - up) * (HEIGHT - TOP - BOTTOM),
        )

    out = [f'<g transform="translate({offset},0)">']
    out.append(f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>')
    for i in range(5):
        y = low + (high - low) * i / 4
        _, v = at(min(xs), y)
        out.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{v:.1f}" y2="{v:.1f}" stroke="#d0d7de"/>'
            f'<text x="{LEFT - 6}" y="{v + 4:.1f}" text-anchor="end">{y:.3g}</text>'
        )
    for x in (min(xs), max(xs)):
        u, _ = at(x, low)
        out.append(f'<text x="{u:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{x:g}</text>')
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{x_label}</text>')
    out.append(f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})" text-anchor="middle">{y_label}</text>')
    for i, (name, dashed, points) in enumerate(series):
        line = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        colour = COLOURS[i % len(COLOURS)]
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        out.append(f'<text x="{LEFT + 10}" y="{TOP + 14 + 15 * i}" fill="{colour}">{name}</text>')
    out.append("</g>")
    return "\n".join(out)


def write(path, panels):
    """A row of panels, each the arguments of panel()."""
    body = "\n".join(panel(*p, offset=i * WIDTH) for i, p in enumerate(panels))
    pathlib.Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT}" '
        f'width="{WIDTH * len(panels)}" height="{HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
