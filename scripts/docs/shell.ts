// A shell that runs the commands of one page, one after the other, so that a variable or a folder of one is there for the next.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout } from "node:timers/promises"

const repository = resolve(".")
const bin = resolve("docs/examples/.fences/bin")

/** What stands in for tools that would install, or take long to start. */
const tools = {
  // On the port that a page names somebody else may listen.
  tenovos: `if [ "$1" = serve ]; then
  case "$*" in
    *--port*) ;;
    *) shift; set -- serve --port 0 "$@" ;;
  esac
fi
exec node ${repository}/packages/cli/bundle/bin.js "$@"`,
  npx: `case "$1 $2" in
  "--yes pnpm@12") shift 2; exec pnpm "$@" ;;
  tenovos*) shift; exec tenovos "$@" ;;
  vitest*) shift; exec ${repository}/node_modules/.bin/vitest "$@" --no-isolate --maxWorkers=1 ;;
esac
echo "the checks know no npx $*" >&2; exit 127`,
  pnpm: `case "$1" in
  tenovos) shift; exec tenovos "$@" ;;
  exec) shift; cd ${repository} && exec "$@" ;;
esac
echo "the checks know no pnpm $*" >&2; exit 127`
}

export const installTools = (): void => {
  mkdirSync(bin, { recursive: true })
  for (const [name, script] of Object.entries(tools)) {
    writeFileSync(`${bin}/${name}`, `#!/bin/sh\n${script}\n`)
    chmodSync(`${bin}/${name}`, 0o755)
  }
}

interface Result {
  readonly output: string
  /** Of the last command. */
  readonly exitCode: number
  /** Whether any of them has ended with another than 0. */
  readonly failed: boolean
}

export interface Shell {
  readonly run: (command: string) => Promise<Result>
  /** Starts what does not end, and waits until it has said what is expected of it. */
  readonly start: (command: string, isReady: (output: string) => boolean) => Promise<Result>
  readonly close: () => Promise<void>
}

export const open = (folder: string): Shell => {
  const home = resolve(`${folder}/.home`)
  mkdirSync(home, { recursive: true })
  const environment = {
    PATH: `${bin}:${process.env["PATH"]}`,
    HOME: home,
    LANG: "C.UTF-8",
    NO_COLOR: "1"
  }
  const bash: ChildProcess = spawn("bash", ["--noprofile", "--norc"], {
    cwd: folder,
    env: environment,
    stdio: ["pipe", "pipe", "inherit"],
    detached: true
  })
  const { stdin, stdout } = bash
  if (stdin === null || stdout === null) throw new Error("bash has no pipes")
  stdin.write("trap 'failed=true' ERR\n")
  const ends = createInterface({ input: stdout })
  // Of the authority that runs in the background, in place of the one that the page names.
  let port = "4010"
  let number = 0

  const portRight = (text: string) => text.replaceAll("127.0.0.1:4010", `127.0.0.1:${port}`)
  const read = (file: string) => readFileSync(file, "utf8").replaceAll(home, "/home/ada")

  return {
    run: async (command) => {
      const file = resolve(folder, `.out${number++}`)
      const ended = once(ends, "line", { signal: AbortSignal.timeout(120_000) })
      // Between two commands of the page there is one of these, so what the first has ended with is kept for the second.
      const text = portRight(command).replace(/^echo \$\?/, "echo $it")
      stdin.write(`failed=false; {\n${text}\n} >'${file}' 2>&1 </dev/null; it=$?; echo "$it $failed"\n`)
      const [line] = await ended.catch(() => Promise.reject(new Error(`${command}: does not end`)))
      const [exitCode, failed] = String(line).split(" ")
      return { output: read(file), exitCode: Number(exitCode), failed: failed === "true" }
    },
    start: async (command, isReady) => {
      const file = resolve(folder, `.out${number++}`)
      writeFileSync(file, "")
      stdin.write(`{\n${portRight(command)}\n} >'${file}' 2>&1 </dev/null &\n`)
      for (let waited = 0; waited < 60_000; waited += 20) {
        const output = read(file)
        if (isReady(output)) {
          if (/\bserve\b/.test(command)) port = /127\.0\.0\.1:(\d+)/.exec(output)?.[1] ?? port
          return { output, exitCode: 0, failed: false }
        }
        await setTimeout(20)
      }
      return { output: read(file), exitCode: 1, failed: true }
    },
    close: async () => {
      if (bash.exitCode === null && bash.pid !== undefined) {
        const exited = once(bash, "exit")
        // With all that it has started.
        process.kill(-bash.pid, "SIGTERM")
        stdin.end()
        await Promise.race([exited, setTimeout(5000).then(() => bash.kill("SIGKILL"))])
      }
      rmSync(home, { recursive: true, force: true })
    }
  }
}
