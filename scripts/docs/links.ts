// Do the links lead somewhere: is each file there, and each heading? Addresses on the web are left alone.
import { existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fail, pages } from "./pages.ts"
import { slugOf } from "./slug.ts"

const anchorsOf = (path: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  const text = (pages.find((page) => page.path === path)?.prose ?? readFileSync(path, "utf8")).replace(/`/g, "")
  for (const [, title = ""] of text.matchAll(/^#{1,6} +(.*)$/gm)) {
    const slug = slugOf(title.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1"))
    let anchor = slug
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`
    anchors.add(anchor)
  }
  return anchors
}

export const check = (): number => {
  let count = 0
  for (const { path, prose } of pages) {
    const links = prose.replace(/`[^`\n]*`/g, (code) => " ".repeat(code.length)).matchAll(/\]\(([^)\s]+)[^)]*\)/g)
    for (const { 1: link = "", index } of links) {
      if (/^(https?|mailto):/.test(link)) continue
      count++
      const where = `${path}:${prose.slice(0, index).split("\n").length}`
      const [file = "", anchor] = link.split("#")
      const target = file === "" ? path : join(dirname(path), file)
      if (!existsSync(target)) {
        fail(`${where}: there is no ${target}`)
        continue
      }
      if (anchor === undefined) continue
      const page = statSync(target).isDirectory() ? join(target, "README.md") : target
      if (!existsSync(page) || !anchorsOf(page).has(anchor)) fail(`${where}: ${page} has no heading ${anchor}`)
    }
  }
  if (count === 0) fail("no link was found")
  return count
}
