"""A report as one HTML file: its style inside, no script, no link, nothing loaded from anywhere."""

import base64
import hashlib
from html import escape

from fettle.reports import chart
from fettle.reports.document import Block, Chart, Document, Notice, Sample, Section, Table, Text

STYLE = """
:root{--ink:#1c2330;--soft:#5c6678;--line:#dfe3ea;--paper:#fff;--page:#f4f6f9;--accent:#2457d6;--ok:#1d7a46;
--warn:#9a5b00;--bad:#b3261e;--s0:#2457d6;--s1:#d0612a;--s2:#1d7a46;--s3:#8a3fb5;--s4:#0f7f8c;--s5:#a8325f}
@media (prefers-color-scheme:dark){:root{--ink:#e7ebf2;--soft:#9aa5b8;--line:#2d3545;--paper:#171c26;--page:#0f131a;
--accent:#7ea2ff;--ok:#5fce8f;--warn:#f0b35a;--bad:#ff8a80;--s0:#7ea2ff;--s1:#ff9d6b;--s2:#5fce8f;--s3:#c893ee;
--s4:#5cc8d4;--s5:#f08bb0}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1060px;margin:0 auto;padding:32px 20px 64px}
header{margin-bottom:24px}
h1{font-size:28px;line-height:1.2;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:19px;margin:0 0 14px}
h3{font-size:15px;margin:0 0 6px}
p{margin:0 0 12px;overflow-wrap:anywhere}
.sub{color:var(--soft);overflow-wrap:anywhere}
.status{display:inline-block;margin-left:10px;padding:2px 12px;border-radius:99px;font-size:14px;font-weight:600;
vertical-align:middle;border:1px solid currentColor}
.succeeded{color:var(--ok)}.failed{color:var(--bad)}.cancelled{color:var(--warn)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(145px,1fr));gap:12px;margin:0 0 20px}
.figure{margin:0;background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:12px}
.figure dt::first-letter{text-transform:uppercase}
.figure dt{color:var(--soft);font-size:13px}
.figure dd{margin:2px 0 0;font-size:16px;font-weight:650;overflow-wrap:break-word}
.figure small{display:block;color:var(--soft);font-size:13px;font-weight:400}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin:0 0 20px}
.wide{overflow-x:auto;margin:0 0 12px}
table{border-collapse:collapse;width:100%;font-size:14.5px}
th{color:var(--soft);font-weight:600;text-align:left;font-size:13px}
th,td{padding:6px 14px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere;
min-width:7em}
tr:last-child td{border-bottom:0}
.numbers td:not(:first-child),.numbers th:not(:first-child){text-align:right;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:24px}
figure{margin:0;min-width:0}
figcaption{font-size:14px;margin-bottom:4px}
figcaption b{font-weight:650}
figcaption span{color:var(--soft)}
svg{width:100%;height:auto;display:block}
.grid{stroke:var(--line);stroke-width:1}
.tick{fill:var(--soft);font-size:12px}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}
.s5{stroke:var(--s5)}
circle.s0{fill:var(--s0)}circle.s1{fill:var(--s1)}circle.s2{fill:var(--s2)}circle.s3{fill:var(--s3)}
circle.s4{fill:var(--s4)}circle.s5{fill:var(--s5)}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;color:var(--soft)}
.key svg{display:inline-block;width:18px;height:8px;vertical-align:middle;margin-right:5px}
.notice{border-left:4px solid var(--warn);padding:6px 12px;margin:0 0 10px;overflow-wrap:anywhere;white-space:pre-wrap}
.notice.error{border-color:var(--bad)}.notice.ok{border-color:var(--ok)}
.sample{border-top:1px solid var(--line);padding-top:14px;margin-top:14px}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,240px),1fr));gap:12px}
pre{margin:0 0 8px;padding:10px 12px;background:var(--page);border-radius:8px;white-space:pre-wrap;
overflow-wrap:anywhere;font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{color:var(--soft);font-size:13px}
@media print{body{background:#fff}section,.figure{break-inside:avoid}}
"""
POLICY = f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"


def write(document: Document) -> str:
    title = escape(document.title)
    figures = "".join(
        f'<dl class="figure"><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(beside)}</small></dd></dl>'
        for name, value, beside in document.figures
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f'<header><h1>{title}<span class="status {escape(document.status)}">{escape(document.status)}</span></h1>'
        f'<div class="sub">{escape(document.subtitle)}</div></header>'
        f'<div class="figures">{figures}</div>'
        f"{''.join(section(each) for each in document.sections)}"
        "<footer>This report is one file. It loads nothing and needs no network.</footer></main></body></html>"
    )


def section(found: Section) -> str:
    charts = [each for each in found.blocks if isinstance(each, Chart)]
    others = "".join(block(each) for each in found.blocks if not isinstance(each, Chart))
    drawn = f'<div class="charts">{"".join(figure(each) for each in charts)}</div>' if charts else ""
    return f"<section><h2>{escape(found.title)}</h2>{drawn}{others}</section>"


def block(found: Block) -> str:
    match found:
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Notice(level, text):
            return f'<div class="notice {escape(level)}">{escape(text)}</div>'
        case Table():
            return table(found)
        case Sample():
            return sample(found)
        case Chart():
            return figure(found)


def table(found: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in found.header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in found.rows)
    kind = ' class="numbers"' if found.numbers else ""
    return f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def figure(found: Chart) -> str:
    key = "".join(
        f'<span><svg viewBox="0 0 18 8" aria-hidden="true"><line class="line s{index % 6}" x1="0" x2="18" y1="4" '
        f'y2="4"/></svg>{escape(each.name)}</span>'
        for index, each in enumerate(found.series)
    )
    note = f" <span>{escape(found.note)}</span>" if found.note else ""
    return (
        f"<figure><figcaption><b>{escape(found.title)}</b>{note}</figcaption>{chart.svg(found)}"
        f'<div class="key">{key}</div></figure>'
    )


def sample(found: Sample) -> str:
    answers = "".join(f"<div><h3>{escape(who)}</h3><pre>{escape(text)}</pre></div>" for who, text in found.answers)
    prompt = f"<h3>Prompt</h3><pre>{escape(found.prompt)}</pre>"
    return f'<div class="sample">{prompt}<div class="answers">{answers}</div></div>'
