/**
 * Formats of names and values (k8s.io/apimachinery/pkg/util/validation). Each function returns the messages of what is
 * wrong, upstream's wording; none means valid. Lengths are in bytes of UTF-8.
 */
const bytesOf = (text: string): number => Buffer.byteLength(text);

const DNS_LABEL_BYTES_MAX = 63;
const DNS_SUBDOMAIN_BYTES_MAX = 253;
const QUALIFIED_NAME_BYTES_MAX = 63;
const PORT_NAME_BYTES_MAX = 15;

const maxLenError = (length: number): string => `must be no more than ${length} bytes`;
/** What older checks say of the same: upstream has both wordings. */
const maxLenInCharacters = (length: number): string => `must be no more than ${length} characters`;
const emptyError = 'must be non-empty';

/** What a value that does not match is told: the rule, examples, the pattern. */
function regexError(message: string, pattern: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${pattern}')`;
  return `${message} (e.g. ${examples.map((each) => `'${each}', `).join(' or ')}regex used for validation is '${pattern}')`;
}

const whole = (pattern: string): RegExp => new RegExp(`^(?:${pattern})$`, 'u');

const qualifiedName = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const labelValue = `(${qualifiedName})?`;
const dns1123Label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const dns1123Subdomain = `${dns1123Label}(\\.${dns1123Label})*`;
const dns1035Label = '[a-z]([-a-z0-9]*[a-z0-9])?';
const wildcardDns1123Subdomain = `\\*\\.${dns1123Subdomain}`;
const cIdentifier = '[A-Za-z_][A-Za-z0-9_]*';
const configMapKey = '[-._a-zA-Z0-9]+';
const envVarName = '[-._a-zA-Z][-._a-zA-Z0-9]*';
const httpHeaderName = '[-A-Za-z0-9]+';
const percent = '[0-9]+%';

const patterns = {
  qualifiedName: whole(qualifiedName),
  labelValue: whole(labelValue),
  dns1123Label: whole(dns1123Label),
  dns1123Subdomain: whole(dns1123Subdomain),
  dns1035Label: whole(dns1035Label),
  wildcardDns1123Subdomain: whole(wildcardDns1123Subdomain),
  cIdentifier: whole(cIdentifier),
  configMapKey: whole(configMapKey),
  envVarName: whole(envVarName),
  httpHeaderName: whole(httpHeaderName),
  percent: whole(percent),
  portName: /^[-a-z0-9]+$/u,
  letter: /[a-z]/u,
} as const;

const subdomainMessage =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";

/** A label or annotation key, a finalizer: `name` or `example.com/name`. */
export function isQualifiedName(value: string): string[] {
  const message =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
  const nameError = regexError(message, qualifiedName, 'MyName', 'my.name', '123-abc');
  const parts = value.split('/');
  if (parts.length > 2)
    return [`a qualified name ${nameError} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  const name = parts.at(-1) ?? '';
  const errors: string[] = [];
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') errors.push(`prefix part ${emptyError}`);
    else errors.push(...isDns1123Subdomain(prefix).map((each) => `prefix part ${each}`));
  }
  if (name === '') errors.push(`name part ${emptyError}`);
  else if (bytesOf(name) > QUALIFIED_NAME_BYTES_MAX) errors.push(`name part ${maxLenError(QUALIFIED_NAME_BYTES_MAX)}`);
  if (!patterns.qualifiedName.test(name)) errors.push(`name part ${nameError}`);
  return errors;
}

export function isValidLabelValue(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > QUALIFIED_NAME_BYTES_MAX) errors.push(maxLenError(QUALIFIED_NAME_BYTES_MAX));
  if (!patterns.labelValue.test(value))
    errors.push(
      regexError(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        labelValue,
        'MyValue',
        'my_value',
        '12345',
      ),
    );
  return errors;
}

export function isDns1123Label(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > DNS_LABEL_BYTES_MAX) errors.push(maxLenError(DNS_LABEL_BYTES_MAX));
  if (!patterns.dns1123Label.test(value))
    errors.push(
      patterns.dns1123Subdomain.test(value)
        ? 'must not contain dots'
        : regexError(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
            dns1123Label,
            'my-name',
            '123-abc',
          ),
    );
  return errors;
}

export function isDns1123Subdomain(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > DNS_SUBDOMAIN_BYTES_MAX) errors.push(maxLenError(DNS_SUBDOMAIN_BYTES_MAX));
  if (!patterns.dns1123Subdomain.test(value))
    errors.push(regexError(subdomainMessage, dns1123Subdomain, 'example.com'));
  return errors;
}

export function isDns1035Label(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > DNS_LABEL_BYTES_MAX) errors.push(maxLenInCharacters(DNS_LABEL_BYTES_MAX));
  if (!patterns.dns1035Label.test(value))
    errors.push(
      regexError(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
        dns1035Label,
        'my-name',
        'abc-123',
      ),
    );
  return errors;
}

export function isWildcardDns1123Subdomain(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > DNS_SUBDOMAIN_BYTES_MAX) errors.push(maxLenInCharacters(DNS_SUBDOMAIN_BYTES_MAX));
  if (!patterns.wildcardDns1123Subdomain.test(value))
    errors.push(
      regexError(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
        wildcardDns1123Subdomain,
        '*.example.com',
      ),
    );
  return errors;
}

export function isCIdentifier(value: string): string[] {
  return patterns.cIdentifier.test(value)
    ? []
    : [
        regexError(
          "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
          cIdentifier,
          'my_name',
          'MY_NAME',
          'MyName',
        ),
      ];
}

/** A key of a ConfigMap or Secret: it becomes a file name. */
export function isConfigMapKey(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > DNS_SUBDOMAIN_BYTES_MAX) errors.push(maxLenInCharacters(DNS_SUBDOMAIN_BYTES_MAX));
  if (!patterns.configMapKey.test(value))
    errors.push(
      regexError(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        configMapKey,
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    );
  if (value === '.') errors.push("must not be '.'");
  else if (value === '..') errors.push("must not be '..'");
  else if (value.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}

/** Relaxed as upstream since 1.32: printable ASCII without `=`. */
export function isRelaxedEnvVarName(value: string): string[] {
  if (value === '') return [`environment variable name ${emptyError}`];
  return /^[ -<>-~]+$/u.test(value)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

export function isEnvVarName(value: string): string[] {
  const errors = patterns.envVarName.test(value)
    ? []
    : [
        regexError(
          "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
          envVarName,
          'my.env-name',
          'MY_ENV.NAME',
          'MyEnvName1',
        ),
      ];
  if (value === '.') errors.push("must not be '.'");
  else if (value === '..') errors.push("must not be '..'");
  else if (value.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}

export function isHttpHeaderName(value: string): string[] {
  return patterns.httpHeaderName.test(value)
    ? []
    : [
        regexError(
          "a valid HTTP header must consist of alphanumeric characters or '-'",
          httpHeaderName,
          'X-Header-Name',
        ),
      ];
}

export function isValidPercent(value: string): string[] {
  return patterns.percent.test(value)
    ? []
    : [regexError("a valid percent string must be a numeric string followed by an ending '%'", percent, '1%', '93%')];
}

export function isValidPortNum(port: number): string[] {
  return Number.isInteger(port) && port >= 1 && port <= 65535 ? [] : ['must be between 1 and 65535, inclusive'];
}

/** An IANA service name: what a container port may be called. */
export function isValidPortName(value: string): string[] {
  const errors: string[] = [];
  if (bytesOf(value) > PORT_NAME_BYTES_MAX) errors.push(maxLenInCharacters(PORT_NAME_BYTES_MAX));
  if (!patterns.portName.test(value))
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!patterns.letter.test(value)) errors.push('must contain at least one letter (a-z)');
  if (value.includes('--')) errors.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) errors.push('must not begin or end with a hyphen');
  return errors;
}

export const isNegativeErrorMessage = 'must be greater than or equal to 0';

/** A name that stands in a path as one segment, such as a Role's. */
export function isValidPathSegmentName(name: string): string[] {
  if (name === '.' || name === '..') return [`may not be '${name}'`];
  return ['/', '%'].filter((each) => name.includes(each)).map((each) => `may not contain '${each}'`);
}
