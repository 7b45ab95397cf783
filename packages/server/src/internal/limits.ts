// Cognito's own limits.

/** In characters. */
export const maxUsername = 128

/** In bytes. */
export const maxPassword = 256
