/** The entries of onnxruntime-web that package.json's `imports` choose: Node has one for both. */
declare module '#onnxruntime-wasm' {
  export * from 'onnxruntime-web';
}
declare module '#onnxruntime-webgpu' {
  export * from 'onnxruntime-web';
}
