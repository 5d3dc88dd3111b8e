# One image for every component: `node packages/NAME/src/main.ts` with its flags.
FROM node:24-bookworm-slim
WORKDIR /opt/naru
COPY . .
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund \
  && npm cache clean --force \
  && node scripts/generate.ts
ENV NODE_COMPILE_CACHE=/tmp/naru-compile NODE_OPTIONS=--max-semi-space-size=8 MALLOC_MMAP_THRESHOLD_=131072
ENTRYPOINT ["node"]
