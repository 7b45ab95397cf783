// The page of a running authority: what it knows, live, and a button for each control.
import * as view from "./view.js"

const at = (id) => document.getElementById(id)
const kept = 200
let clock = { now: Date.now(), read: performance.now() }
let snapshot
let last = 0

const url = (path, query = {}) => {
  const tenant = at("tenant").value
  const all = new URLSearchParams({ ...query, ...(tenant === "" ? {} : { tenant }) })
  return `/__control/${path}${all.size === 0 ? "" : `?${all}`}`
}

const ask = async (method, address, body) => {
  const response = await fetch(address, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.message)
  return answer
}

const say = (text, isBad = false) => {
  at("status").textContent = text
  at("status").className = isBad ? "bad" : ""
}

/** Runs a control, says what came of it, and shows what is new. */
const act = async (method, path, body, said) => {
  try {
    const answer = await ask(method, url(path), body)
    say(said(answer))
    await refresh()
    return answer
  } catch (error) {
    say(error.message, true)
  }
}

const showClock = ({ advanced, now }) => {
  clock = { now: Date.parse(now), read: performance.now() }
  at("advanced").textContent = advanced === 0 ? "" : `${view.duration(advanced)} ahead`
}

const showSessions = (sessions) => {
  at("sessions-count").textContent = String(sessions.length)
  view.replace(
    at("sessions"),
    sessions.map((session) =>
      view.session(
        session,
        () => act("POST", "revoke", { session: session.id }, () => `Revoked a session of ${session.username}`)
      )
    )
  )
}

const showFaults = (faults) => {
  at("faults-count").textContent = String(faults.length)
  view.replace(
    at("faults"),
    faults.map((fault) =>
      view.fault(fault, () => act("DELETE", `faults/${fault.id}`, undefined, () => "Removed a fault"))
    )
  )
}

const change = (user, action, said) =>
  view.button(
    action[0].toUpperCase() + action.slice(1),
    () => act("POST", "users", { username: user.username, action }, () => `${said} ${user.username}`),
    `${action} ${user.username}`
  )

const showUsers = (users) => {
  at("users-count").textContent = String(users.length)
  view.replace(
    at("users"),
    users.map((user) =>
      view.user(
        user,
        view.button(
          "Revoke sessions",
          () =>
            act(
              "POST",
              "revoke",
              { username: user.username },
              ({ revoked }) => `Revoked ${revoked} sessions of ${user.username}`
            ),
          `Revoke all sessions of ${user.username}`
        ),
        user.lockedFor > 0 ? change(user, "unlock", "Unlocked") : change(user, "lock", "Locked"),
        user.disabled ? change(user, "enable", "Enabled") : change(user, "disable", "Disabled")
      )
    )
  )
}

const showTenants = (tenants) => {
  const select = at("tenant")
  const names = ["", ...tenants.map(({ tenant }) => tenant)]
  if (Array.from(select.options, ({ value }) => value).join("\n") === names.join("\n")) return
  const chosen = names.includes(select.value) ? select.value : ""
  select.replaceChildren(...names.map((name) => view.element("option", { value: name }, name === "" ? "all" : name)))
  select.value = chosen
}

const refresh = async () => {
  showTenants(await ask("GET", "/__control/tenants"))
  const [time, sessions, faults, users] = await Promise.all(
    ["clock", "sessions", "faults", "users"].map((path) => ask("GET", url(path)))
  )
  showClock(time)
  showSessions(sessions)
  showFaults(faults)
  showUsers(users)
  view.tick()
}

const showRequests = (entries) => {
  for (const entry of entries) {
    last = Math.max(last, entry.sequence)
    at("journal").prepend(view.request(entry))
  }
  while (at("journal").childElementCount > kept) at("journal").lastElementChild.remove()
  at("journal-count").textContent = String(at("journal").childElementCount)
}

/** Waits for requests for as long as the page shows this tenant. Starts over when the authority has. */
const follow = async () => {
  const tenant = at("tenant").value
  const isCurrent = () => at("tenant").value === tenant
  while (isCurrent()) {
    try {
      last = 0
      const entries = await ask("GET", url("journal", { limit: 1000 }))
      at("journal").replaceChildren()
      showRequests(entries)
      await refresh()
      say("live")
      while (isCurrent()) {
        const more = await ask("GET", url("journal", { after: last, wait: 20_000 }))
        if (!isCurrent()) return
        if (more.length === 0) continue
        showRequests(more)
        await refresh()
      }
    } catch (error) {
      say(`The authority doesn't answer: ${error.message}`, true)
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}

const values = {
  status: ["Status", 503],
  rateLimit: ["Seconds", 1],
  html: ["Status", 502],
  latency: ["Milliseconds", 1000]
}

const ruleOf = (form) => {
  const { kind, operation, share, times, value } = Object.fromEntries(new FormData(form))
  const faults = {
    status: { kind, status: Number(value) },
    rateLimit: { kind, retryAfter: Number(value) },
    html: { kind, status: Number(value) },
    latency: { kind, milliseconds: Number(value) },
    real: { kind: "latency", preset: "real" }
  }
  return {
    fault: faults[kind] ?? { kind },
    ...(operation === "" ? {} : { operations: [operation] }),
    ...(times === "" ? {} : { times: Number(times) }),
    ...(share === "" ? {} : { share: Number(share) })
  }
}

at("fault").elements.kind.addEventListener("change", ({ target }) => {
  const [label, value] = values[target.value] ?? []
  at("value-label").hidden = label === undefined
  at("value-label").firstChild.textContent = `${label} `
  at("fault").elements.value.value = value ?? 0
})
at("fault").addEventListener("submit", (event) => {
  event.preventDefault()
  void act("POST", "faults", ruleOf(event.target), ({ rule }) => `Injected ${rule.fault.kind}`)
})
at("clear-faults").addEventListener(
  "click",
  () => act("DELETE", "faults", undefined, ({ cleared }) => `Cleared ${cleared} faults`)
)
at("revoke-all").addEventListener(
  "click",
  () => act("POST", "revoke", { all: true }, ({ revoked }) => `Revoked ${revoked} sessions`)
)
at("clear-journal").addEventListener("click", async () => {
  await act("DELETE", "journal", undefined, () => "Cleared the journal")
  at("journal").replaceChildren()
  showRequests([])
})
at("reset").addEventListener("click", async () => {
  await act("POST", "reset", undefined, () => "Reset sessions, faults and journal")
  at("journal").replaceChildren()
  showRequests([])
})
at("rotate").addEventListener(
  "click",
  () => act("POST", "keys/rotate", { immediately: true }, () => "Rotated the keys")
)
at("snapshot").addEventListener("click", async () => {
  const answer = await act("POST", "snapshots", undefined, () => "Kept a snapshot")
  if (answer === undefined) return
  snapshot = answer
  at("restore").disabled = false
})
at("restore").addEventListener("click", () => act("POST", "restore", snapshot, () => "Restored the snapshot"))
at("add-tenant").addEventListener("click", () =>
  // The answer has an API key and a password, which this page never shows: a program makes its own tenant.
  ask("POST", "/__control/tenants", {}).then(
    ({ tenant }) => refresh().then(() => say(`Added ${tenant}`)),
    ({ message }) => say(message, true)
  ))
at("tenant").addEventListener("change", () => {
  snapshot = undefined
  at("restore").disabled = true
  void follow()
})
for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener(
    "click",
    () =>
      act(
        "POST",
        "clock",
        { advance: Number(button.dataset.advance) },
        () => `Moved the clock by ${button.textContent.slice(1)}`
      )
  )
}

setInterval(() => {
  view.tick()
  const now = new Date(clock.now + performance.now() - clock.read).toISOString()
  at("now").textContent = `${now.slice(0, 10)} ${now.slice(11, 19)} UTC`
}, 250)
void follow()
