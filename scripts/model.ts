// Does the fleet's protocol hold? Lets spin search all that can happen in docs/model/fleet.pml for each property, and then
// what can happen once a rule of the protocol is left out, where it must find the property broken. Skipped where there is
// no spin or no C compiler, except in CI.
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

interface Property {
  /** Its number in the model. */
  readonly number: number
  /** What may happen; each line is a search of its own. */
  readonly holds: ReadonlyArray<string>
  /** A rule to leave out, and what must happen for that to show. */
  readonly breaks: ReadonlyArray<readonly [rule: string, bounds: string]>
}

const properties: Record<string, Property> = {
  SINGLE_FLIGHT: {
    number: 1,
    holds: ["PROCESSES=3 PAUSES=1"],
    breaks: [["NO_LEASE", ""]]
  },
  SPENT_ONCE: {
    number: 2,
    holds: ["PROCESSES=2 HOURS=2 CRASHES=1 PAUSES=1", "PROCESSES=2 HOURS=2 OUTAGES=2"],
    breaks: [
      ["NO_SECOND_LOOK", ""],
      ["NO_GAP", "CRASHES=1"],
      ["NO_GAP", "PAUSES=1"],
      ["NO_LEASE_CHECK", "HOURS=2 PAUSES=1"],
      ["SPEND_UNKNOWN", "HOURS=2 OUTAGES=2"]
    ]
  },
  ONE_EXCHANGE: {
    number: 3,
    holds: ["PROCESSES=3 HOURS=2"],
    breaks: [["NO_SECOND_LOOK", ""]]
  },
  NOTHING_LOST: {
    number: 4,
    holds: ["PROCESSES=2 CRASHES=1 OUTAGES=1", "PROCESSES=2 PAUSES=1 OUTAGES=1"],
    breaks: [["NO_FENCE", "OUTAGES=1"], ["FORGET_GAP", "OUTAGES=1"]]
  },
  SIGN_OUT_WINS: {
    number: 5,
    holds: ["PROCESSES=3 SIGN_OUTS=1", "PROCESSES=2 HOURS=2 PAUSES=1 SIGN_OUTS=1", "PROCESSES=2 OUTAGES=1 SIGN_OUTS=1"],
    breaks: [
      ["CLEAR_KEEPS_GENERATION", "SIGN_OUTS=1"],
      ["NO_GENERATION", "SIGN_OUTS=1"],
      ["STORE_ANYHOW", "OUTAGES=1 SIGN_OUTS=1"]
    ]
  },
  NO_ORPHAN: {
    number: 6,
    holds: ["PROCESSES=2 HOURS=2 PAUSES=1 SIGN_OUTS=1", "PROCESSES=2 OUTAGES=1 SIGN_OUTS=1", "PROCESSES=2 SIGN_OUTS=2"],
    breaks: [
      ["LEAVE_OVERTAKEN", "PAUSES=1"],
      ["KEEP_REPLACED", "CRASHES=1"],
      ["EXPIRE_ONE", "PAUSES=1 SIGN_OUTS=1"]
    ]
  },
  COMES_TO_REST: {
    number: 7,
    holds: ["PROCESSES=3 HOURS=1", "PROCESSES=2 CRASHES=1 PAUSES=1", "PROCESSES=2 CRASHES=1 SIGN_OUTS=1"],
    breaks: [["NO_EXPIRY", "CRASHES=1"], ["POLL", ""]]
  }
}

const run = (command: string, ...args: ReadonlyArray<string>) => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd: folder, encoding: "utf8" })
  return { found: error === undefined, ok: status === 0, text: `${stdout}${stderr}` }
}

/** Searches all states within the bounds, and tells what was found. */
const search = (check: string, defines: string) => {
  const endless = check === "COMES_TO_REST"
  const options = [`CHECK=${check}`, ...defines.split(" ").filter((define) => define !== "")].map((define) =>
    `-D${define}`
  )
  const began = performance.now()
  const generated = run("spin", "-a", ...options, "fleet.pml")
  // Not optimised: most searches take less time than that would.
  const compiled = run(cc, "-w", "-DMEMLIM=2000", endless ? "-DNP" : "-DSAFETY", "-o", "pan", "pan.c")
  if (!generated.ok || !compiled.ok) throw new Error(generated.text + compiled.text)
  const { text } = run(join(folder, "pan"), "-E", "-m10000", ...(endless ? ["-l"] : []))
  const seconds = (performance.now() - began) / 1000
  const errors = /errors: (\d+)/.exec(text)?.[1]
  return {
    text,
    broken: errors === "1" && (text.includes(`assertion violated ((${properties[check]?.number}!=`)
      || endless && /pan:\d+: non-progress cycle/.test(text)),
    whole: errors === "0" && !/not completed|too small|MEMLIM|out of memory/i.test(text),
    figures: `${/(\d+) states, stored/.exec(text)?.[1]} states, ${seconds.toFixed(1)} s`
  }
}

const folder = mkdtempSync(join(tmpdir(), "model-"))
const cc = ["cc", "gcc", "clang"].find((name) => run(name, "--version").ok) ?? ""
let failures = 0

const report = (ok: boolean, line: string, text: string) => {
  console.log(`${ok ? "ok    " : "FAILED"} ${line}`)
  if (ok) return
  failures++
  console.error(text)
}

try {
  const missing = [
    ...(run("spin", "-V").text.startsWith("Spin Version") ? [] : ["spin, the model checker (apt-get install spin)"]),
    ...(cc === "" ? ["a C compiler"] : [])
  ]
  if (missing.length > 0) {
    console.log(`model: skipped, as the PATH has not got ${missing.join(", and not ")}`)
    if (process.env["CI"]) failures++
  } else {
    copyFileSync("docs/model/fleet.pml", join(folder, "fleet.pml"))
    for (const [check, { breaks, holds }] of Object.entries(properties)) {
      for (const bounds of holds) {
        const { figures, text, whole } = search(check, bounds)
        report(whole, `${check} holds: ${bounds}: ${figures}`, text)
      }
      for (const [rule, bounds] of breaks) {
        const { broken, figures, text } = search(check, `${rule} ${bounds}`)
        report(broken, `${check} breaks by ${rule}: ${bounds || "nothing else"}: ${figures}`, text)
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}
process.exitCode = failures === 0 ? 0 : 1
