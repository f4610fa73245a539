/** The CRC-32C half of crc-32, which types only its CRC-32. */
declare module 'crc-32/crc32c.js' {
  const crc32c: {
    /** of the bytes, as a signed 32-bit number */
    buf(bytes: Uint8Array, seed?: number): number;
  };
  export default crc32c;
}
