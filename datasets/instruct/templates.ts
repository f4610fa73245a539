/** @file The forms that a question takes in instruction data, and back. Source: MILE, section 3.2 and figure 4. */

/** `<image>`, the question in braces, the options in braces, and words that ask for an answer. */
export type Template = (question: string, options: string) => string;

const asked = (question: string) => `<image>Question:{${question}}`;
const withOptions =
  (ending: string): Template =>
  (question, options) =>
    `${asked(question)}Option:{${options}} ${ending}`;

/** Questions with a choice of answers. */
export const openTemplates: readonly Template[] = [
  withOptions('The answer to the question is:'),
  withOptions('Answer:'),
  withOptions('Short answer:'),
  (question, options) =>
    `<image>Look at the image to answer the question:{${question}}Option:{${options}} Choose one of the options`,
  (question) => `<image>What is the answer to the following question?"{${question}}"`,
];

/** Yes/no questions can also be asked without their two options. */
export const closedTemplates: readonly Template[] = [
  ...openTemplates,
  (question) => `${asked(question)} Judge by the image: yes or no`,
];

/** @example lettered(['Yes', 'No']) // '(a)Yes; (b)No' */
export const lettered = (options: readonly string[]): string =>
  options.map((option, i) => `(${String.fromCharCode(97 + i)})${option}`).join('; ');

/** The question in a form of any of the templates, the published ones included; the form itself if it has none. */
export function questionOf(form: string): string {
  const found = /\{(.*?)\}(?=Option:\{|"?\s*$|\s)/s.exec(form);
  return (found?.[1] ?? form.replaceAll('<image>', ' ')).trim();
}
