/** Whether the text can be the base URL of an API: paths are appended to it, so nothing may come after its own. */
export const isEndpoint = (text: string): boolean => {
  if (!URL.canParse(text) || text.trim() !== text) return false
  const { hash, password, protocol, search, username } = new URL(text)
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === "" && !/[?#]$/.test(text)
}
