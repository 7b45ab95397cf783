// Do diagrams and prose speak of what there is? Each name in a diagram stands in the sources, as the member of its module where
// it says which, and each step of the state machine leads where the machine goes. In prose that goes for `Module.member`.
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import * as Redacted from "effect/Redacted"
import { globSync, readFileSync } from "node:fs"
import { basename } from "node:path"
import { AuthError, SessionExpired } from "../../packages/core/src/AuthError.ts"
import * as machine from "../../packages/core/src/internal/machine.ts"
import { standard } from "../../packages/core/src/RefreshPolicy.ts"
import { Session } from "../../packages/core/src/Session.ts"
import { fail, type Fence, pages } from "./pages.ts"

const sources = new Map(
  globSync("packages/{core,server,testing,cli}/src/**/*.ts").map((path) => [path, readFileSync(path, "utf8")])
)
const isWordOf = (text: string, word: string) => new RegExp(`\\b${word}\\b`).test(text)

// What Mermaid itself calls something, and what is no name of ours.
const keywords =
  /^(sequenceDiagram|stateDiagram|flowchart|participant|TD|LR|v2|API|GET|POST|DELETE|JSON|HTTP|Redis|PostgreSQL|SQLite)$/

const checkNames = ({ code, line, page }: Fence): number => {
  let count = 0
  for (const [name] of code.matchAll(/\b[A-Za-z]\w*(?:\.[a-z]\w*)?\b/g)) {
    const [first = "", member] = name.split(".")
    if (member === undefined && !/[A-Z]/.test(name) || keywords.test(name)) continue
    count++
    const texts = member === undefined
      ? [...sources.values()]
      : [...sources].filter(([path]) => basename(path) === `${first}.ts`).map(([, text]) => text)
    if (!texts.some((text) => isWordOf(text, member ?? first))) {
      fail(`${page}:${line}: the diagram speaks of ${name}, which is not in the sources`)
    }
  }
  return count
}

const session = new Session({
  endpointUrl: "https://tenovos.test/v1",
  accessToken: Redacted.make("token"),
  issuedAt: DateTime.makeUnsafe(0),
  expiresAt: DateTime.makeUnsafe(3_600_000),
  authenticatedAt: DateTime.makeUnsafe(0),
  clockOffset: Duration.zero,
  generation: 1
})
const held = machine.hold({ session, headers: Headers.empty }, { now: 0, life: 3_600_000, policy: standard, random: 0 })
const error = new AuthError({ reason: new SessionExpired() })

const steps: Readonly<Record<string, (state: machine.State) => machine.State>> = {
  initial: () => machine.initial(undefined),
  started: machine.started,
  troubled: machine.troubled,
  renewed: (state) => machine.renewed(state, held),
  failed: (state) => machine.failed(state, 1000, error),
  rejected: (state) => machine.rejected(state, error),
  signedOutElsewhere: machine.signedOutElsewhere,
  signingOut: machine.signingOut,
  signedOut: machine.signedOut
}
const phases: Readonly<Record<string, machine.Phase>> = {
  Idle: { _tag: "Idle" },
  Renewing: { _tag: "Renewing", troubled: false },
  Resting: { _tag: "Resting", until: 1000, error },
  SigningOut: { _tag: "SigningOut" }
}

const checkSteps = ({ code, line, page }: Fence): number => {
  let count = 0
  for (const [, from = "", to = "", name = ""] of code.matchAll(/^ *(\[\*\]|\w+) --> (\w+): (\w+)$/gm)) {
    count++
    const phase = from === "[*]" ? phases["Idle"] : phases[from]
    const step = steps[name]
    if (phase === undefined || step === undefined) {
      fail(`${page}:${line}: the machine knows no ${phase === undefined ? from : name}`)
    } else if (step({ held, phase, rejected: undefined }).phase._tag !== to) {
      fail(`${page}:${line}: ${name} does not lead from ${from} to ${to}`)
    }
  }
  return count
}

const checkProse = (path: string, prose: string): number => {
  let count = 0
  for (const { 1: module = "", 2: member = "", index } of prose.matchAll(/`([A-Z]\w+)\.(\w+)/g)) {
    const texts = [...sources].filter(([path]) => basename(path) === `${module}.ts`).map(([, text]) => text)
    // What is no module of ours is one of Effect's, or a class.
    if (texts.length === 0 || member === "ts") continue
    count++
    if (!texts.some((text) => isWordOf(text, member))) {
      fail(`${path}:${prose.slice(0, index).split("\n").length}: there is no ${module}.${member}`)
    }
  }
  return count
}

export const check = (): number => {
  let count = 0
  for (const { path, prose } of pages) count += checkProse(path, prose)
  for (const fence of pages.flatMap(({ fences }) => fences)) {
    if (fence.words[0] !== "mermaid") continue
    count += checkNames(fence)
    if (fence.page === "docs/guide/session-life.md" && fence.code.startsWith("stateDiagram")) count += checkSteps(fence)
  }
  return count
}
