// Builds what the page shows. Text goes in as text only, so nothing that a program sent is ever taken for markup.

/** An element with attributes and children; a string is a text. */
export const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value)
    else if (value !== undefined) made.setAttribute(key, value)
  }
  made.append(...children)
  return made
}

export const button = (text, onclick, label = text) =>
  element("button", { type: "button", onclick, "aria-label": label }, text)

const units = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000]]

/** `29d 23h`, `59m 12s`. */
export const duration = (milliseconds) => {
  if (milliseconds <= 0) return "over"
  const at = units.findIndex(([, size]) => milliseconds >= size)
  if (at === -1) return "0s"
  const [[unit, size], next] = units.slice(at)
  const first = `${Math.floor(milliseconds / size)}${unit}`
  return next === undefined ? first : `${first} ${Math.floor((milliseconds % size) / next[1])}${next[0]}`
}

/** What is left of something, counted down by `tick`. */
const left = (name, milliseconds, whole) => {
  if (milliseconds === null) return element("span", { class: "faint" }, `${name} unknown`)
  const life = element("span", { class: "life", "data-end": String(performance.now() + milliseconds) })
  life.append(`${name} `, element("progress", { max: String(whole), "aria-label": name }), " ", element("time"))
  return life
}

export const tick = () => {
  for (const life of document.querySelectorAll(".life")) {
    const rest = Number(life.dataset.end) - performance.now()
    life.querySelector("progress").value = Math.max(0, rest)
    const text = duration(rest)
    const time = life.querySelector("time")
    if (time.textContent !== text) time.textContent = text
    time.className = rest > 0 ? "good" : "bad"
  }
}

const json = (value) => element("pre", { tabindex: "0" }, JSON.stringify(value, null, 2))

const details = (key, line, ...content) =>
  element("details", { class: "row", "data-key": key }, element("summary", {}, line), ...content)

const tenantOf = ({ tenant }) => element("span", { class: "faint" }, tenant ?? "unknown key")

const stateOf = (session) => {
  if (session.revokedAt !== null) return element("span", { class: "bad" }, "revoked")
  return session.refreshTokenLife > 0
    ? element("span", { class: "good" }, "live")
    : element("span", { class: "bad" }, "expired")
}

export const session = (entry, revoke) => {
  const line = element(
    "span",
    { class: "line" },
    element("strong", {}, entry.username),
    tenantOf(entry),
    stateOf(entry),
    left("access", entry.accessTokenLife, accessTokenLife(entry)),
    left("refresh", entry.refreshTokenLife, 30 * 86_400_000)
  )
  const isLive = entry.revokedAt === null && entry.refreshTokenLife > 0
  return details(
    entry.id,
    line,
    ...(isLive
      ? [element("div", { class: "actions" }, button("Revoke", revoke, `Revoke ${entry.username}'s session`))]
      : []),
    json(entry.claims ?? { note: "No token of this session was issued since the authority started." })
  )
}

const accessTokenLife = ({ claims }) => claims === null ? 3_600_000 : (claims.access.exp - claims.access.iat) * 1000

export const request = (entry) => {
  const isGood = entry.status !== null && entry.status < 400
  const line = element(
    "span",
    { class: "line" },
    element("time", { datetime: entry.at }, entry.at.slice(11, 23)),
    element("span", { class: isGood ? "good mono" : "bad mono" }, entry.status === null ? "—" : String(entry.status)),
    element("strong", {}, entry.operation),
    element("span", { class: "mono" }, `${entry.method} ${entry.path}`),
    tenantOf(entry),
    element("span", { class: "faint" }, `${entry.milliseconds.toFixed(1)} ms`),
    ...(entry.fault === null ? [] : [element("span", { class: "bad" }, `fault: ${entry.fault}`)]),
    ...(entry.delay > 0 ? [element("span", { class: "bad" }, `delayed ${Math.round(entry.delay)} ms`)] : [])
  )
  const { answered, received, session } = entry
  return details(String(entry.sequence), line, json({ received, answered, session }))
}

export const fault = ({ id, injected, rule }, remove) => {
  const { fault: { kind, ...rest }, operations, share, times } = rule
  const parts = [
    kind,
    ...Object.entries(rest).map(([name, value]) => `${name} ${JSON.stringify(value)}`),
    operations === undefined ? "all operations" : operations.join(", "),
    ...(times === undefined ? [] : [`${times} times`]),
    ...(share === undefined ? [] : [`${share * 100} %`]),
    `injected ${injected}`
  ]
  return element(
    "div",
    { class: "row line", "data-key": id },
    element("span", {}, parts.join(" · ")),
    button("Remove", remove, `Remove ${kind}`)
  )
}

export const user = (entry, ...buttons) =>
  element(
    "div",
    { class: "row line", "data-key": `${entry.tenant}/${entry.username}` },
    element("strong", {}, entry.username),
    tenantOf(entry),
    element("span", { class: "faint" }, entry.email ?? ""),
    ...(entry.disabled ? [element("span", { class: "bad" }, "disabled")] : []),
    ...(entry.lockedFor > 0 ? [element("span", { class: "bad" }, `locked for ${duration(entry.lockedFor)}`)] : []),
    ...buttons
  )

/** Replaces the rows, but leaves those open that were, and the focus where it was. */
export const replace = (list, rows) => {
  const open = new Set(Array.from(list.querySelectorAll("details[open]"), ({ dataset }) => dataset.key))
  const focused = list.contains(document.activeElement) ? document.activeElement : null
  const key = focused?.closest("[data-key]")?.dataset.key
  const place = focused === null ? -1 : focusable(focused.closest("[data-key]")).indexOf(focused)
  list.replaceChildren(...rows)
  for (const row of rows) {
    if (open.has(row.dataset.key)) row.open = true
    if (key !== undefined && row.dataset.key === key) focusable(row)[place]?.focus()
  }
}

const focusable = (row) => Array.from(row.querySelectorAll("summary, button, pre"))
