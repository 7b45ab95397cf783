// What each package exports, with its types, in packages/*/api.txt: the declarations of its modules, without comments.
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { modules, program } from "./sources.ts"

/** Tells which of the files say something else, after writing them if that is wanted. */
export const update = (write: boolean): ReadonlyArray<string> => {
  const declarations = new Map<string, string>()
  program.emit(undefined, (file, text) => declarations.set(file, text), undefined, true)

  return [...Map.groupBy(modules, (module) => module.package)].flatMap(([name, modules]) => {
    const text = modules
      .map((module) => `// ${module.name}\n\n${declarations.get(module.file.replace(/ts$/, "d.ts"))}`)
      .join("\n")
    const file = fileURLToPath(new URL(`../${name}/api.txt`, import.meta.url))
    if (existsSync(file) && readFileSync(file, "utf8") === text) return []
    if (write) writeFileSync(file, text)
    return [`packages/${name}/api.txt`]
  })
}
