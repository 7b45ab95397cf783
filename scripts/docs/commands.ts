// Do the command lines work, and do they print what is shown? A `console` fence has commands after `$ ` and below each what it
// prints, a `sh` fence commands alone. `background` starts one that runs on until the page ends, and `skip="why"` runs nothing.
import { mkdirSync } from "node:fs"
import { folderOf } from "./compile.ts"
import { isShown, mask } from "./masks.ts"
import { fail, type Fence, type Page, pages, valueOf } from "./pages.ts"
import { open, type Shell } from "./shell.ts"

interface Command {
  readonly text: string
  readonly line: number
  /** Undefined where nothing is said of it. */
  readonly shown: string | undefined
}

const isShell = ({ words: [language = ""] }: Fence) => /^(console|sh|shell|bash|shellscript)$/.test(language)

const parse = (fence: Fence): ReadonlyArray<Command> => {
  if (fence.words[0] !== "console") {
    // As one command: a line may go on in the next.
    return [{ text: fence.code.trimEnd(), line: fence.line, shown: undefined }]
  }
  const commands: Array<{ text: string; line: number; shown: string }> = []
  for (const [index, line] of fence.code.trimEnd().split("\n").entries()) {
    const last = commands.at(-1)
    if (line.startsWith("$ ")) commands.push({ text: line.slice(2), line: fence.line + index + 1, shown: "" })
    else if (last?.shown === "" && /(^|[^\\])\\$/.test(last.text)) last.text += `\n${line.replace(/^> /, "")}`
    else if (last !== undefined) last.shown += `${line}\n`
    else fail(`${fence.page}:${fence.line}: begins with no command`)
  }
  return commands
}

const runFence = async (shell: Shell, fence: Fence): Promise<number> => {
  const commands = parse(fence)
  for (const [index, { line, shown, text }] of commands.entries()) {
    const where = `${fence.page}:${line}: ${text.split("\n")[0]}`
    const isBackground = fence.words.includes("background")
    const { exitCode, failed, output } = isBackground
      ? await shell.start(text, (output) => shown === undefined || isShown(shown, output))
      : await shell.run(text)
    if (shown !== undefined && !isShown(shown, output)) {
      fail(`${where}: prints\n${mask(output)}\nand not\n${mask(shown)}`)
    } else if (shown === undefined && failed || exitCode !== 0 && !commands[index + 1]?.text.startsWith("echo $?")) {
      fail(`${where}: ends with ${exitCode}\n${output}`)
    }
  }
  return commands.length
}

const runPage = async (page: Page): Promise<number> => {
  const fences = page.fences.filter(isShell).filter((fence) => {
    const reason = valueOf(fence, "skip")
    if (reason === "") fail(`${page.path}:${fence.line}: is skipped without a reason`)
    return reason === undefined
  })
  if (fences.length === 0) return 0
  mkdirSync(folderOf(page.path), { recursive: true })
  const shell = open(folderOf(page.path))
  let count = 0
  try {
    for (const fence of fences) count += await runFence(shell, fence)
  } catch (error) {
    fail(`${page.path}: ${String(error)}`)
  } finally {
    await shell.close()
  }
  return count
}

/** Two pages at a time; or one page alone. */
export const run = async (only?: string): Promise<number> => {
  const left = pages.filter(({ path }) => only === undefined || path === only)
  const counts: Array<number> = []
  const work = async () => {
    for (let page = left.shift(); page !== undefined; page = left.shift()) counts.push(await runPage(page))
  }
  await Promise.all([work(), work()])
  return counts.reduce((sum, count) => sum + count, 0)
}
