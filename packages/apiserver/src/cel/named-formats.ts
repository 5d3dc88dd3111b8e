/** Formats that expressions name: `format.dns1123Label().validate(self)`. */
import { Optional } from '@marcbachmann/cel-js';
import {
  hasFormat,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidLabelValue,
} from '@naru/api';

/** A prefix may end in a dash, for what follows it. */
const asPrefix = (text: string): string => (text.endsWith('-') ? `${text.slice(0, -1)}a` : text);
const byFormat =
  (format: string, problem: string) =>
  (text: string): string[] =>
    hasFormat(format, text) ? [] : [problem];

export const namedFormats: Readonly<Record<string, (text: string) => string[]>> = {
  dns1123Label: isDns1123Label,
  dns1123Subdomain: isDns1123Subdomain,
  dns1035Label: isDns1035Label,
  qualifiedName: isQualifiedName,
  dns1123LabelPrefix: (text) => isDns1123Label(asPrefix(text)),
  dns1123SubdomainPrefix: (text) => isDns1123Subdomain(asPrefix(text)),
  dns1035LabelPrefix: (text) => isDns1035Label(asPrefix(text)),
  labelValue: isValidLabelValue,
  uri: byFormat('uri', 'invalid URI'),
  uuid: byFormat('uuid', 'does not match the UUID format'),
  byte: byFormat('byte', 'invalid base64'),
  date: byFormat('date', 'invalid date'),
  datetime: byFormat('date-time', 'invalid datetime'),
};

/** What is wrong with the text; nothing: none. */
export function validateFormat(name: string, text: string): Optional<readonly string[]> {
  const problems = namedFormats[name]?.(text) ?? [];
  return problems.length === 0 ? Optional.none() : Optional.of(problems);
}
