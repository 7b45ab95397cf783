// Makes of the comments in the sources the API reference of the packages that are published: HTML, in the folder of `--out`.
// Fails where an export has no summary, @category or @since, an option no summary, a module no header, and where a link leads
// to nothing; and where packages/*/api.txt is not up to date, unless it is to `--write` it.
import { parseArgs } from "node:util"
import { Application, type Comment, type DeclarationReflection, ReflectionKind } from "typedoc"
import * as api from "./api.ts"
import { modules, program } from "./sources.ts"

const { values } = parseArgs({ options: { out: { type: "string" }, write: { type: "boolean", default: false } } })

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
  navigationLinks: { Guide: "/" },
  validation: { notExported: false, invalidLink: true, notDocumented: false, rewrittenLink: false }
})

const project = app.converter.convert(modules.flatMap(({ file, name }) => {
  const sourceFile = program.getSourceFile(file)
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

// What a schema brings along would be told as inherited from its whole text, and Effect's own comments have links of their own.
for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
  if (!reflection.isDeclaration()) continue
  if (reflection.kindOf(ReflectionKind.Constructor) && reflection.inheritedFrom !== undefined) {
    for (const signature of reflection.signatures ?? []) delete signature.comment
  }
  delete reflection.inheritedFrom
  delete reflection.extendedTypes
  delete reflection.typeHierarchy
}
app.validate(project)
if (values.out !== undefined) await app.generateDocs(project, values.out)

const stale = api.update(values.write)
for (const file of stale) console.log(values.write ? `wrote ${file}` : `${file} is out of date: pnpm generate`)

const failures = findings.length + app.logger.warningCount + app.logger.errorCount + (values.write ? 0 : stale.length)
console.log(`reference: ${modules.length} modules, ${failures} findings`)
process.exitCode = failures === 0 ? 0 : 1
