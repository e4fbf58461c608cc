/** What PostgreSQL takes for a uuid, of any version; anything else it would call an error. */

const pattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Whether a text is one. */
export const isUuid = (text: string): boolean => pattern.test(text)
