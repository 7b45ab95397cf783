// What does it look like? Draws docs/token-life.svg from a run of the benchmark's load, and docs/demo.svg from a run of the demo.
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { options, type Tally, timeline } from "./expiry.ts"

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

/** Colours for pages of either kind. */
const style = `
  svg { --text: #1f2328; --soft: #656d76; --line: #d0d7de; --good: #1a7f37; --bad: #cf222e; --busy: #bf8700 }
  @media (prefers-color-scheme: dark) {
    svg { --text: #e6edf3; --soft: #8d96a0; --line: #30363d; --good: #3fb950; --bad: #f85149; --busy: #d29922 }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--text) }
  .soft { fill: var(--soft); font-size: 12px }`

// -----------------------------------------------------------------------------
// The life of a token
// -----------------------------------------------------------------------------

const length = 7000
const width = 860
const left = 56
const panel = 150

const x = (at: number) => left + at / length * (width - left - 16)
/** Waits are drawn up to a quarter of a second. */
const y = (waited: number) => panel - 24 - Math.min(waited, 250) / 250 * (panel - 60)

const drawn = (title: string, { asked, delayed, longest, waits }: Tally, top: number) => {
  const exchanges = asked.filter((at) => at >= 0 && at < length)
  // A line of no length with round ends is a dot.
  const dots = (some: (waited: number) => boolean, colour: string) =>
    `<path d="${
      waits.filter(([, waited]) => some(waited)).map(([at, waited]) => `M${x(at).toFixed()} ${y(waited).toFixed(1)}h0`)
        .join("")
    }" stroke="var(${colour})" stroke-width="3" stroke-linecap="round"/>`
  const calls = [dots((waited) => waited <= 50, "--good"), dots((waited) => waited > 50, "--bad")]
  const bars = exchanges.map((at) =>
    `<rect x="${x(at).toFixed(1)}" y="34" width="${(x(options.delay) - x(0)).toFixed(1)}" height="${
      panel - 52
    }" fill="var(--busy)" opacity="0.22"/>`
  )
  const lines = [0, 100, 200].map((waited) =>
    `<path d="M${left} ${y(waited)}H${width - 16}" stroke="var(--line)"/>` +
    `<text class="soft" x="${left - 8}" y="${y(waited) + 4}" text-anchor="end">${waited} ms</text>`
  )
  const summary = `${waits.length} calls, ${delayed} of them delayed, longest wait ${Math.round(longest)} ms`
  return `<g transform="translate(0 ${top})">
<text x="${left}" y="20" font-weight="600">${title}</text>
<text class="soft" x="${width - 16}" y="20" text-anchor="end">${summary}</text>
${[...lines, ...bars, ...calls].join("\n")}
</g>`
}

const seconds = Array.from(
  { length: length / 1000 + 1 },
  (_, second) =>
    `<text class="soft" x="${x(second * 1000)}" y="${2 * panel + 16}" text-anchor="middle">${second} s</text>`
)

const { lazy, ours } = await Effect.runPromise(timeline(length))

const life = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${2 * panel + 52}" role="img">
<title>How long calls wait while access tokens come and go</title>
<style>${style}</style>
${drawn("effect-tenovos", ours, 0)}
${drawn("a cache that renews when the token has ended", lazy, panel)}
${seconds.join("\n")}
<rect x="${left}" y="${2 * panel + 32}" width="14" height="10" fill="var(--busy)" opacity="0.4"/>
<text class="soft" x="${left + 20}" y="${
  2 * panel + 42
}">a token request under way. Each dot is a call: 200 a second, with tokens that live for ${
  options.life / 1000
} s, and answers after ${options.delay} ms.</text>
</svg>
`
writeFileSync("docs/token-life.svg", life)

// -----------------------------------------------------------------------------
// The demo
// -----------------------------------------------------------------------------

const demo = spawn(process.execPath, ["docs/examples/demo.ts"], { stdio: ["ignore", "pipe", "inherit"] })
const began = Date.now()
const said: Array<{ readonly text: string; readonly after: number }> = []
createInterface({ input: demo.stdout }).on("line", (text) => {
  said.push({ text: text.replace(/127\.0\.0\.1:\d+/, "127.0.0.1:4010"), after: (Date.now() - began) / 1000 })
})
const [code] = await once(demo, "close")
if (code !== 0) throw new Error(`The demo ended with ${code}`)

// An image has no scripts: each line appears by an animation of its own, and all begin again at the end.
const whole = (said.at(-1)?.after ?? 0) + 6
const row = 20
const columns = Math.max(...said.map(({ text }) => text.length))
const terminal = { width: Math.ceil(columns * 7.85) + 40, height: (said.length + 1) * row + 52 }
const typed = (text: string, index: number) =>
  `<text class="line l${index}" x="20" y="${52 + index * row}" xml:space="preserve">${escaped(text)}</text>`
const shown = said.map(({ after }, index) => {
  const at = (after / whole * 100).toFixed(2)
  return `@keyframes k${index + 1} { 0%, ${at}% { opacity: 0 } ${at}1%, 100% { opacity: 1 } } .l${
    index + 1
  } { animation: k${index + 1} ${whole.toFixed(1)}s step-end infinite }`
})

const recording =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${terminal.width} ${terminal.height}" role="img">
<title>The demo in a terminal</title>
<style>
  .line { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #e6edf3 }
  .l0 { fill: #8d96a0 }
  @media (prefers-reduced-motion: no-preference) {
    ${shown.join("\n    ")}
  }
</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g>${
    ["#f85149", "#d29922", "#3fb950"].map((fill, n) => `<circle cx="${22 + n * 18}" cy="20" r="5.5" fill="${fill}"/>`)
      .join("")
  }</g>
${["$ npx --yes pnpm@12 demo", ...said.map(({ text }) => text)].map(typed).join("\n")}
</svg>
`
writeFileSync("docs/demo.svg", recording)
await Effect.runPromise(
  Console.log(`docs/token-life.svg: ${life.length} bytes\ndocs/demo.svg: ${recording.length} bytes`)
)
