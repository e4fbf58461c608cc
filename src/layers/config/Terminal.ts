/** Whether somebody looks at what the process prints, and how it may look. */

/** A part of a standard stream. */
interface Stream {
  readonly isTTY?: boolean
}

/** Whether the standard output is a terminal. */
export const isTerminal = (stdout: Stream = process.stdout): boolean => stdout.isTTY === true

/** Colours only where all that is printed is seen, and nobody asked for none (https://no-color.org). */
export const hasColors = (
  streams: ReadonlyArray<Stream> = [process.stdout, process.stderr],
  noColor: string | undefined = process.env.NO_COLOR
): boolean => streams.every(isTerminal) && !noColor
