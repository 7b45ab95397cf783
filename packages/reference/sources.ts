// The modules of the packages that are published, as TypeScript 6 understands them.
import { globSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Module {
  readonly package: string
  readonly file: string
  /** As it is imported. */
  readonly name: string
}

export const modules: ReadonlyArray<Module> = ["core", "server", "testing", "cli"].flatMap((name) =>
  globSync(`packages/${name}/src/*.ts`, { cwd: root })
    .filter((file) => !/\/(index|bin|main)\.ts$/.test(file))
    .sort()
    .map((file) => ({
      package: name,
      file: root + file,
      name: `@effect-tenovos/${name}/${basename(file, ".ts")}`
    }))
)

const config = ts.getParsedCommandLineOfConfigFile(`${root}packages/reference/tsconfig.sources.json`, {}, {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
    throw new Error(String(messageText))
  }
})
if (config === undefined) throw new Error("tsconfig.sources.json can't be read")

const files = new Set(modules.map(({ file }) => file))
const host = ts.createCompilerHost(config.options)
// That the first comment is the module's has to be said to typedoc.
host.readFile = (file) => {
  const text = ts.sys.readFile(file)
  return files.has(file) ? text?.replace(/^(\/\*\*.*?)(?=^ \* @since)/ms, "$1 * @module\n") : text
}

export const program: ts.Program = ts.createProgram({ rootNames: [...files], options: config.options, host })
