/** What Vite makes of an import of a file's URL. */
declare module '*?url' {
  const url: string;
  export default url;
}
