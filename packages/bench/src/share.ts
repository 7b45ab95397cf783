import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { accessSync, constants, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

// A fixed share of a core for a process. A control group of Linux does it exactly: a process that has used its quota up
// is stopped until the period ends, and periods are short, so that nobody waits long for a row that it has locked. They
// need root, and the first version of their interface. The command `cpulimit` needs neither, and is less exact,
// since it stops a process by what it sees of it.

/** Holds a process to so many cores, until the scope closes. */
export type Hold = (pid: number, cores: number) => Effect.Effect<unknown, never, Scope.Scope>

/** What holds here, if anything does. */
export const hold: Effect.Effect<Option.Option<{ readonly by: string; readonly hold: Hold }>> = Effect.sync(() => {
  const group = writableGroup()
  if (group !== undefined) return Option.some({ by: "a control group", hold: byGroup(group) })
  return spawnSync("cpulimit", ["--help"]).error === undefined
    ? Option.some({ by: "cpulimit", hold: byCommand })
    : Option.none()
})

/** The group that this process is in, where it may make others below. */
const writableGroup = (): string | undefined => {
  try {
    const [, path] = /^\d+:(?:.*,)?cpu(?:,.*)?:(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8")) ?? []
    if (path === undefined) return undefined
    const group = join("/sys/fs/cgroup/cpu", path)
    accessSync(group, constants.W_OK)
    return group
  } catch {
    return undefined
  }
}

const period = 10_000

const byGroup = (group: string): Hold => (pid, cores) => {
  const folder = join(group, `tenovos-bench-${pid}`)
  const write = (file: string, value: number) => writeFileSync(join(folder, file), String(value))
  return Effect.acquireRelease(
    Effect.sync(() => {
      mkdirSync(folder)
      write("cpu.cfs_period_us", period)
      write("cpu.cfs_quota_us", Math.round(period * cores))
      write("cgroup.procs", pid)
    }),
    () =>
      Effect.sync(() => {
        // Only an empty group can go.
        writeFileSync(join(group, "cgroup.procs"), String(pid))
        rmdirSync(folder)
      })
  )
}

const byCommand: Hold = (pid, cores) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn("cpulimit", ["-l", String(Math.round(cores * 100)), "-p", String(pid)], { stdio: "ignore" })
    ),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = once(child, "exit")
        child.kill()
        await ended
      })
  )
