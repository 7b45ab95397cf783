// The guide as a site. Its pages are the Markdown files of the repository, which can be read there as well.
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitepress"
import { slugOf } from "../../scripts/docs/slug.ts"

const repository = fileURLToPath(new URL("../..", import.meta.url))

const titleOf = (page: string): string => /^# (.*)$/m.exec(readFileSync(join(repository, page), "utf8"))?.[1] ?? page

/** The pages that an index lists, in its order, below its headings. */
const listedIn = (index: string) => {
  const [, ...sections] = `\n${readFileSync(join(repository, index), "utf8")}`.split(/^#+ /m)
  return sections.map((section) => ({
    text: section.slice(0, section.indexOf("\n")),
    items: [...section.matchAll(/^- \[([^\]]+)\]\(([^)#]+\.md)\)/gm)].map(([, text = "", link = ""]) => ({
      text,
      link: siteLink(join(dirname(index), link))
    }))
  })).filter(({ items }) => items.length > 0)
}

const siteLink = (page: string): string =>
  `/${page.replace(/^docs\//, "").replace(/(^|\/)README\.md$/, "$1").replace(/\.md$/, "")}`

const packages = ["core", "server", "testing", "cli"].map((name) => `packages/${name}/README.md`)

// It is made beside this site, and is none of its pages.
const hasReference = existsSync(join(repository, "packages/reference"))

export default defineConfig({
  title: "effect-tenovos",
  description: "Authentication to the Tenovos API as an Effect layer",
  srcDir: "..",
  srcExclude: [
    ".changeset/**",
    ".github/**",
    ".ci/**",
    "packages/*/CHANGELOG.md",
    "**/{dist,bundle,coverage}/**",
    "docs/examples/.fences/**"
  ],
  rewrites: (id) => id.replace(/^README\.md$/, "overview.md").replace(/^docs\//, "").replace(/README\.md$/, "index.md"),
  outDir: "./.vitepress/dist",
  cacheDir: "./.vitepress/cache",
  cleanUrls: true,
  lastUpdated: false,
  markdown: {
    anchor: { slugify: slugOf },
    config: (md) => {
      const fence = md.renderer.rules.fence
      md.renderer.rules.fence = (...args) => {
        const [tokens, index] = args
        const token = tokens[index]
        if (token?.info.trim() === "mermaid") {
          return `<pre class="mermaid" v-pre>${md.utils.escapeHtml(token.content)}</pre>`
        }
        return fence?.(...args) ?? ""
      }

      // A link to what is no page, as a source, leads nowhere on the site: there it is its text.
      md.core.ruler.push("pages", ({ env, tokens }) => {
        let leadsNowhere = false
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          if (token.type === "link_open") {
            const target = targetOf(env.realPath ?? env.path, String(token.attrGet("href")))
            leadsNowhere = target === undefined
            if (target !== undefined) token.attrSet("href", target)
          }
          if (leadsNowhere && /^link_(open|close)$/.test(token.type)) {
            leadsNowhere = token.type === "link_open"
            token.type = "text"
          }
        }
      })
    }
  },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Guide", link: "/" },
      { text: "Overview", link: "/overview" },
      ...(hasReference ? [{ text: "Reference", link: "/reference/index.html", target: "_self" }] : [])
    ],
    sidebar: [
      ...listedIn("docs/README.md"),
      {
        text: "Packages",
        items: packages.map((page) => ({ text: titleOf(page), link: siteLink(page) }))
      },
      ...listedIn("docs/decisions/README.md").map((group) => ({ ...group, collapsed: true }))
    ]
  }
})

/** Where a link of a page leads on the site: a folder is its README, and what is no page is nowhere. */
function targetOf(page: string, href: string): string | undefined {
  if (/^([a-z]+:|#)/.test(href)) return href
  const [path = "", anchor = ""] = href.split(/(?=#)/)
  const file = join(dirname(page), path)
  const found = [file, join(file, "README.md")].find((file) => file.endsWith(".md") && existsSync(file))
  return found === undefined ? undefined : `${siteLink(relative(repository, found))}${anchor}`
}
