// Are the diagrams drawn? Opens each page of the site that has some in a browser. Skipped where there is no chromium.
import { once } from "node:events"
import { existsSync, readFileSync, statSync } from "node:fs"
import { createServer } from "node:http"
import { extname, join } from "node:path"
import * as chromium from "../../packages/server/test/fixtures/chromium.ts"
import { fail, pages } from "./pages.ts"

const root = "docs/.vitepress/dist"

const types: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" }

const fileOf = (path: string) =>
  [path, `${path}.html`, join(path, "index.html")].map((path) => join(root, path))
    .find((path) => existsSync(path) && statSync(path).isFile())

export const check = async (): Promise<string> => {
  if (chromium.executablePath === undefined) return "no diagrams drawn, for want of a chromium"
  const server = createServer((request, response) => {
    const file = fileOf(new URL(request.url ?? "/", "http://site").pathname)
    response.writeHead(file === undefined ? 404 : 200, { "content-type": types[extname(file ?? "")] ?? "text/plain" })
    response.end(file === undefined ? "" : readFileSync(file))
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no address")
  const browser = await chromium.launch()
  let drawn = 0
  try {
    const tab = await browser.newPage()
    for (const { fences, path } of pages) {
      const expected = fences.filter(({ words }) => words[0] === "mermaid").length
      if (expected === 0) continue
      await tab.goto(`http://127.0.0.1:${address.port}/${path.replace(/^docs\//, "").replace(/(README)?\.md$/, "")}`)
      await tab.locator(".mermaid[data-processed]").nth(expected - 1).waitFor().catch(() => undefined)
      const found = await tab.locator(".mermaid svg:not([aria-roledescription=error])").count()
      if (found !== expected) fail(`${path}: ${expected - found} of ${expected} diagrams are not drawn`)
      drawn += found
    }
  } finally {
    await browser.close()
    server.close()
  }
  return `${drawn} diagrams drawn`
}
