"""The page's style, beside that of all our pages: eight colours for kinds of faults, one for each way of not being ready."""

from __future__ import annotations

_LIGHT = ("#1f66b0", "#b5521b", "#6f3fa0", "#00756b", "#a8275f", "#5d6b00", "#3d4bc0", "#7a4a21")
_DARK = ("#6fb0f2", "#f0995c", "#bb95ea", "#46c7b8", "#f07fae", "#bccb4a", "#96a2ff", "#cf9c6c")


def _variables(colours: tuple[str, ...]) -> str:
    return "; ".join(f"--f{at}: {colour}" for at, colour in enumerate(colours))


STYLE = f"""
:root {{ {_variables(_LIGHT)}; --ready: #d3e7da; --ended: #d9442f; --stopping: #e8962e; --starting: #e3c64a;
  --quarantined: #8d3fb0; --asked: #c9c9c9; --away: #d9442f80 }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(_DARK)}; --ready: #24423a; --ended: #e0563f; --stopping: #d98a2b;
  --starting: #c9ad3a; --quarantined: #a968cc; --asked: #555a5d; --away: #f0808080 }} }}
body {{ max-width: 70rem }} h1.long {{ font-size: 1.15rem; line-height: 1.4 }}
.verdict {{ font-size: 1.1rem; border: 1px solid currentColor; border-radius: .3rem; padding: .1rem .5rem; margin-left: .4rem;
  vertical-align: .2rem; white-space: nowrap }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.2rem 0 }}
.tiles div {{ background: var(--box); padding: .6rem .8rem; border-radius: .3rem; display: flex; flex-direction: column }}
.tiles b {{ font-size: 1.5rem }} ul {{ margin: .2rem 0 .6rem; padding-left: 1.2rem }} li {{ overflow-wrap: anywhere }}
.scroll {{ overflow-x: auto }} .scroll svg {{ min-width: 46rem }} .scroll table {{ min-width: 42rem }}
.legend {{ line-height: 1.9 }} .legend span {{ white-space: nowrap; display: inline-block }}
.legend i {{ display: inline-block; width: 1.4em; height: .7em; margin-right: .35em; border-radius: 2px }}
svg.key {{ width: .9em; height: .9em; margin-right: .35em; vertical-align: -.1em }}
{"".join(f".f{at} {{ fill: var(--f{at}) }} .s{at} {{ stroke: var(--f{at}); stroke-width: 2 }} " for at in range(8))}
path[class^=f] {{ stroke: var(--paper); stroke-width: .8 }} .dot {{ opacity: .75 }}
.ready {{ fill: var(--ready) }} .unknown {{ fill: var(--box) }}
.gap-ended {{ fill: var(--ended) }} .gap-stopping {{ fill: var(--stopping) }} .gap-starting {{ fill: var(--starting) }}
.gap-quarantined {{ fill: var(--quarantined) }} .gap-asked, .gap-done {{ fill: var(--asked) }} .away {{ fill: var(--away) }}
.away.many {{ opacity: .4 }}
i.ready {{ background: var(--ready) }} i.gap-ended {{ background: var(--ended) }}
i.gap-stopping {{ background: var(--stopping) }}
i.gap-starting {{ background: var(--starting) }} i.gap-quarantined {{ background: var(--quarantined) }}
i.gap-asked, i.gap-done {{ background: var(--asked) }} i.away {{ background: var(--away) }}
.cross {{ stroke: var(--no); stroke-width: 2.4; fill: none }} svg text.hurt {{ fill: var(--no); font-weight: 700 }}
.box {{ fill: var(--rule); opacity: .7 }} .median {{ stroke: var(--ink); stroke-width: 2.4 }} .p95 {{ stroke: var(--ink) }}
.wide td:first-child {{ white-space: normal; width: 30% }}
.figures td:nth-child(n+3), .figures th:nth-child(n+3) {{ text-align: right; white-space: nowrap }}
.figures {{ font-variant-numeric: tabular-nums }}
details summary {{ cursor: pointer }} details h2 {{ display: inline }} .wide td {{ overflow-wrap: anywhere }}
"""
