// Makes the API reference of the packages that are published, of the comments in their sources: HTML, for the site in docs/.
// Fails where an export has no summary, @category or @since, where a module has no header, and where a link leads to nothing.
// Takes the folder to write to; without one it only checks.
import { globSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import { Application, type Comment, type DeclarationReflection, ReflectionKind } from "typedoc"
import ts from "typescript"

const root = fileURLToPath(new URL("../..", import.meta.url))
const files = ["core", "server", "testing", "cli"].flatMap((name) =>
  globSync(`packages/${name}/src/*.ts`, { cwd: root })
    .filter((file) => !/\/(index|bin|main)\.ts$/.test(file))
    .sort()
)

const app = await Application.bootstrap({
  name: "effect-tenovos",
  readme: "none",
  excludeExternals: true,
  excludePrivate: true,
  disableSources: true,
  disableGit: true,
  sort: ["source-order"],
  sortEntryPoints: false,
  includeHierarchySummary: false,
  validation: { notExported: false, invalidLink: true, notDocumented: false, rewrittenLink: false }
})

const config = ts.getParsedCommandLineOfConfigFile(`${root}packages/reference/tsconfig.sources.json`, {}, {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
    throw new Error(String(messageText))
  }
})
if (config === undefined) throw new Error("tsconfig.sources.json can't be read")
const host = ts.createCompilerHost(config.options)
const sources = new Set(files.map((file) => root + file))
// That the first comment is the module's has to be said to typedoc.
host.readFile = (file) => {
  const text = ts.sys.readFile(file)
  return sources.has(file) ? text?.replace(/^(\/\*\*.*?)(?=^ \* @since)/ms, "$1 * @module\n") : text
}
const program = ts.createProgram({ rootNames: [...sources], options: config.options, host })
const project = app.converter.convert([...sources].flatMap((file) => {
  const sourceFile = program.getSourceFile(file)
  const name = `@effect-tenovos/${file.split("/").at(-3)}/${basename(file, ".ts")}`
  return sourceFile === undefined ? [] : [{ displayName: name, program, sourceFile }]
}))

const exported = (project.children ?? []).flatMap((module) => module.children ?? [])

const commentOf = (declaration: DeclarationReflection): Comment | undefined =>
  declaration.comment ??
    declaration.signatures?.[0]?.comment ??
    (declaration.type?.type === "reflection" ? declaration.type.declaration.signatures?.[0]?.comment : undefined)

const isSilent = (declaration: DeclarationReflection): boolean =>
  !commentOf(declaration)?.summary.some(({ text }) => text.trim() !== "")

// A value and its type of the same name are one thing, told once.
for (const declaration of exported.filter(isSilent)) {
  const twin = exported.find((twin) =>
    twin.name === declaration.name && twin.parent === declaration.parent && !isSilent(twin)
  )
  const comment = commentOf(declaration)
  if (comment !== undefined && twin !== undefined) comment.summary = commentOf(twin)?.summary ?? []
}

const owed = (declaration: DeclarationReflection, tags: ReadonlyArray<`@${string}`>): ReadonlyArray<string> => [
  ...(isSilent(declaration) ? ["summary"] : []),
  ...tags.filter((tag) => !commentOf(declaration)?.getTag(tag))
]

const isOptions = (declaration: DeclarationReflection): boolean =>
  commentOf(declaration)?.getTag("@category")?.content[0]?.text === "options"

const findings = [
  ...(project.children ?? []).flatMap((module) => owed(module, ["@since"]).map((part) => `${module.name}: no ${part}`)),
  ...exported.flatMap((declaration) =>
    [
      ...owed(declaration, ["@category", "@since"]).map((part) => `${declaration.name} has no ${part}`),
      // An option says what it means, its unit, and what it is by default.
      ...(isOptions(declaration) ? declaration.children ?? [] : []).filter(isSilent).map(({ name }) =>
        `${declaration.name}.${name} has no summary`
      )
    ].map((finding) => `${declaration.parent?.name}: ${finding}`)
  )
]
for (const finding of findings) console.error(finding)
app.validate(project)

const out = process.argv[2]
if (out !== undefined) {
  // What a schema brings along would be told as inherited from its whole text.
  for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
    if (!reflection.isDeclaration()) continue
    delete reflection.inheritedFrom
    delete reflection.extendedTypes
    delete reflection.typeHierarchy
  }
  await app.generateDocs(project, out)
}
const failures = findings.length + app.logger.warningCount + app.logger.errorCount
console.log(`reference: ${project.children?.length} modules, ${failures} findings`)
process.exitCode = failures === 0 ? 0 : 1
