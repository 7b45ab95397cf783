// Does every TypeScript fence compile? Each becomes a module that begins on the line where it stands in its page, so an
// error names the right line.
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { text } from "node:stream/consumers"
import { fail, type Fence, pages, valueOf } from "./pages.ts"

const root = "docs/examples/.fences"

/** Where the files of a page are, and where its commands run. */
export const folderOf = (page: string): string => `${root}/${page.replace(/\.md$/, "")}`

const isTypeScript = ({ words: [language = ""] }: Fence) => /^(ts|mts|tsx|typescript)$/.test(language)

/** The module of a fence, if it is to have one. */
export const moduleOf = (fence: Fence): string | undefined =>
  !isTypeScript(fence) || fence.words[1] === "ignore"
    ? undefined
    : `${folderOf(fence.page)}/${valueOf(fence, "file") ?? `line${fence.line}.ts`}`

/** Writes what stands in the pages to where it can be compiled and run. */
export const write = (): number => {
  rmSync(root, { recursive: true, force: true })
  let written = 0
  for (const fence of pages.flatMap(({ fences }) => fences)) {
    const file = moduleOf(fence)
    const path = file ?? valueOf(fence, "file")
    if (path === undefined) continue
    const [, named = ""] = fence.words
    if (named.endsWith(".ts") && !named.includes("=") && readFileSync(named, "utf8").trim() !== fence.code.trim()) {
      fail(`${fence.page}:${fence.line}: says something else than ${named}`)
    }
    const target = file ?? `${folderOf(fence.page)}/${path}`
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, file === undefined ? fence.code : "\n".repeat(fence.line) + fence.code)
    if (file !== undefined) written++
  }
  if (written === 0) fail("no TypeScript fence was found")
  return written
}

export const compile = async (): Promise<void> => {
  writeFileSync(
    `${root}/tsconfig.json`,
    JSON.stringify({
      extends: "../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, tsBuildInfoFile: ".tsbuildinfo" },
      include: ["**/*.ts"],
      references: ["core", "server", "testing", "cli"].map((name) => ({ path: `../../../packages/${name}` }))
    })
  )
  const tsc = spawn("tsc", ["-b", "--pretty", "false", root], { stdio: ["ignore", "pipe", "inherit"] })
  const output = await text(tsc.stdout)
  if (output !== "") {
    const located = /docs\/examples\/\.fences\/([^\s(]+)\((\d+),(\d+)\)/g
    fail(output.replaceAll(located, (_, file: string, line: string, column: string) => {
      const fence = pages.flatMap(({ fences }) => fences).find((fence) => moduleOf(fence) === `${root}/${file}`)
      return `${fence?.page ?? file}:${line}:${column}`
    }))
  }
}
