# One image for every component: `node dist/COMPONENT.mjs` with its flags.
FROM node:24-bookworm-slim
WORKDIR /opt/naru
COPY . .
# The pinned Node is for machines with another one; the bundler is for this step only.
RUN npm ci --omit=dev --no-audit --no-fund \
  && node scripts/generate.ts \
  && node scripts/bundle.ts \
  && rm -rf node_modules/node-linux-* node_modules/esbuild node_modules/@esbuild \
  && npm cache clean --force
ENV NODE_COMPILE_CACHE=/tmp/naru-compile NODE_OPTIONS=--max-semi-space-size=8 MALLOC_MMAP_THRESHOLD_=131072
ENTRYPOINT ["node"]
