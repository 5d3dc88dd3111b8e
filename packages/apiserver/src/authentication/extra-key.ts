/** The key of an extra property from the end of a header's name; one with a bad escape is taken as it is, as upstream. */
export function unescapeExtraKey(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
