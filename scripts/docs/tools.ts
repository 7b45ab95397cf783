// What others check: the spelling, and that the site can be built.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fail, pages } from "./pages.ts"

const check = async (command: string, ...args: ReadonlyArray<string>): Promise<void> => {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } })
  const [printed, complained, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit")
  ])
  if (exitCode !== 0) fail(printed + complained)
}

export const spelling = (): Promise<void> =>
  check("cspell", "lint", "--no-progress", "--no-summary", ...pages.map(({ path }) => path))

export const site = (): Promise<void> => check("vitepress", "build", "docs")
