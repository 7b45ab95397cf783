// The Markdown pages of the repository, and what they are made of.
import { globSync, readFileSync } from "node:fs"

/** What stands between two lines of backticks. `line` is that of the first of them. */
export interface Fence {
  readonly page: string
  readonly line: number
  /** The words after the backticks: the language, and what is to be done with the fence. */
  readonly words: ReadonlyArray<string>
  readonly code: string
}

export interface Page {
  readonly path: string
  readonly text: string
  /** Without its fences, which hold no prose and no links. */
  readonly prose: string
  readonly fences: ReadonlyArray<Fence>
}

// A fence ends with as many backticks as it began with, or with the page.
const fence = /^[ \t]*(`{3,})([^\n`]*)\n(.*?)(?:^[ \t]*\1`*[ \t]*$|(?![^]))/gms

const parse = (path: string): Page => {
  const text = readFileSync(path, "utf8").replaceAll("\r\n", "\n")
  const fences = [...text.matchAll(fence)].map(({ 2: info = "", 3: code = "", index }) => ({
    page: path,
    line: text.slice(0, index).split("\n").length,
    words: info.trim().match(/\S+="[^"]*"|\S+/g) ?? [],
    code
  }))
  return { path, text, prose: text.replace(fence, (all) => all.replace(/[^\n]/g, "")), fences }
}

export const pages: ReadonlyArray<Page> = globSync(
  ["README.md", "CONTRIBUTING.md", "packages/{core,server,testing,cli}/README.md", "docs/**/*.md"],
  { exclude: (name) => /(^|\/)(node_modules|\.fences|\.vitepress|reference)(\/|$)/.test(name) }
).sort().map(parse)

export const pageOf = (path: string): Page => {
  const page = pages.find((page) => page.path === path)
  if (page === undefined) throw new Error(`There is no page ${path}`)
  return page
}

/** The value of a word such as `file=main.ts`, or `skip="why"`. */
export const valueOf = ({ words }: Fence, name: string): string | undefined =>
  words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1).replace(/^"(.*)"$/, "$1")

/** What is wrong, told at the end. */
export const failures: Array<string> = []

export const fail = (message: string): void => {
  failures.push(message)
}

/** The cells of the table whose heading begins with these cells, row by row. */
export const tableOf = (
  { prose, path }: Page,
  ...heading: ReadonlyArray<string>
): ReadonlyArray<ReadonlyArray<string>> => {
  const rows = prose.split("\n").map((line) =>
    /^\|.*\|$/.test(line) ? line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()) : undefined
  )
  const start = rows.findIndex((row) => row !== undefined && heading.every((cell, index) => row[index] === cell))
  if (start < 0) {
    fail(`${path}: has no table of ${heading.join(", ")}`)
    return []
  }
  const end = rows.indexOf(undefined, start)
  return rows.slice(start + 2, end < 0 ? undefined : end).flatMap((row) => row === undefined ? [] : [row])
}
