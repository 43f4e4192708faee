"""What the benchmark prints and draws of its results."""
from xml.sax.saxutils import escape

GREY, BLUE, RED, INK = "#9aa3ad", "#2563a8", "#b3372f", "#1d232a"
BAR, ROW, LEFT, WIDTH, SPAN = 11, 34, 360, 1010, 430
BUSY = 0.5  # load average
LIMIT = 2.0  # a longer bar is cut off, and says so


def milliseconds(ns):
    ms = ns / 1e6
    return f"{ms:.4f}" if ms < 0.1 else f"{ms:.3f}" if ms < 10 else f"{ms:.1f}"


def table(rows):
    """Columns as wide as their widest cell; the first one to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths)))


def verdict(result):
    if not result["same"]:
        return "OUTPUTS DIFFER"
    must, aim = result["target"]["must"], result["target"]["aim"]
    word = "missed" if result["ratio"] > must else "aim" if aim and result["ratio"] <= aim else "reached"
    return word + (", NOISY" if result["noisy"] else "")


def text(results, skipped, facts):
    yield (f"Pleat {facts['pleat']} ({facts['pleat_build']}) and ONNX Runtime {facts['onnxruntime']}; {facts['cpu']}; "
           f"load average at the start {facts['load_average']:.2f}")
    if facts["load_average"] > BUSY:
        yield "THE MACHINE WAS BUSY with something else: these figures are good for a rough idea only"
    yield ""
    if results:
        yield from tables(results)
    for entry in skipped:
        yield (f"not measured: {entry['model']}, threads {entry['threads']}, batch {entry['batch']}: "
               f"{entry['reason']}")


def tables(results):
    rows = [("latency (median)", "threads", "batch", "ORT ms", "Pleat ms", "ratio", "quartiles", "must", "aim",
             "max diff", "")]
    for r in results:
        must, aim = r["target"]["must"], r["target"]["aim"]
        rows.append((r["model"], str(r["threads"]), str(r["batch"]), milliseconds(r["ort"]["median_ns"]),
                     milliseconds(r["pleat"]["median_ns"]), f"{r['ratio']:.2f}",
                     f"{r['ratio_quartiles'][0]:.2f}-{r['ratio_quartiles'][1]:.2f}", f"{must:.2f}",
                     f"{aim:.2f}" if aim else "-", f"{r['difference']:.1e}", verdict(r)))
    yield from table(rows)
    yield ""
    rows = [("fresh process", "threads", "batch", "load ms: ORT", "Pleat", "ratio", "first run ms: ORT", "Pleat",
             "ratio", "peak MB: ORT", "Pleat", "ratio")]
    for r in results:
        cells = [r["model"], str(r["threads"]), str(r["batch"])]
        for key, show in (("load_ns", milliseconds), ("first_run_ns", milliseconds),
                          ("peak_rss", lambda size: f"{size / 1e6:.1f}")):
            ort, pleat = r["ort"][key], r["pleat"][key]
            cells += [show(ort), show(pleat), f"{pleat / ort:.2f}"]
        rows.append(tuple(cells))
    yield from table(rows)


def row(result, y, scale):
    """One model: its name, ONNX Runtime's bar (1 by definition), Pleat's, and a tick at the ratio to be reached."""
    ratio, must = result["ratio"], result["target"]["must"]
    cut = ratio > LIMIT
    length = min(ratio, LIMIT) * scale
    label = f"{ratio:.2f}x  ({milliseconds(result['pleat']['median_ns'])} ms)" + (" cut off" if cut else "")
    yield f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(result["model"])}</text>'
    yield f'<rect x="{LEFT}" y="{y}" width="{scale:.1f}" height="{BAR}" fill="{GREY}"/>'
    yield (f'<text x="{LEFT + scale + 6:.1f}" y="{y + 10}" fill="#5b646e">'
           f'{milliseconds(result["ort"]["median_ns"])} ms</text>')
    yield (f'<rect x="{LEFT}" y="{y + BAR + 1}" width="{length:.1f}" height="{BAR}" '
           f'fill="{BLUE if ratio <= 1 else RED}"/>')
    yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 22}" font-weight="bold">{label}</text>'
    x = LEFT + must * scale
    yield (f'<line x1="{x:.1f}" y1="{y - 2}" x2="{x:.1f}" y2="{y + 2 * BAR + 3}" stroke="{INK}" '
           f'stroke-dasharray="2 2"/>')


def svg(results, versions):
    """A bar chart: a panel for each number of threads and batch, time relative to ONNX Runtime's."""
    scale = SPAN / max(1.05, min(LIMIT, max(r["ratio"] for r in results)))
    panels = sorted({(r["batch"], r["threads"]) for r in results})
    y, body = 62, []
    for batch, threads in panels:
        y += 26
        body.append(f'<text x="20" y="{y}" font-size="14" font-weight="bold">{threads} thread{"s" * (threads > 1)}, '
                    f'batch {batch}</text>')
        y += 12
        for result in results:
            if (result["batch"], result["threads"]) == (batch, threads):
                body += row(result, y, scale)
                y += ROW
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 16}" viewBox="0 0 {WIDTH} {y + 16}" '
            f'font-family="sans-serif" font-size="12" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{y + 16}" fill="white"/>',
            '<text x="20" y="28" font-size="17" font-weight="bold">Pleat and ONNX Runtime: median latency, '
            'ONNX Runtime = 1, shorter is faster</text>',
            f'<rect x="20" y="42" width="12" height="{BAR}" fill="{GREY}"/><text x="38" y="52">ONNX Runtime '
            f'{escape(versions["onnxruntime"])}</text>',
            f'<rect x="190" y="42" width="12" height="{BAR}" fill="{BLUE}"/><text x="208" y="52">Pleat</text>',
            f'<rect x="260" y="42" width="12" height="{BAR}" fill="{RED}"/><text x="278" y="52">Pleat, slower</text>',
            f'<line x1="386" y1="40" x2="386" y2="56" stroke="{INK}" stroke-dasharray="2 2"/>'
            f'<text x="394" y="52">to be reached</text><text x="500" y="52">{escape(versions["cpu"])}</text>']
    return "\n".join(head + body + ["</svg>", ""])
