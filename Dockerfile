# Image of the HTTP service "coarse2fine serve" (docs/serve.md). Build it in a clone of the repository:
#   docker build -t coarse2fine .                        CPU
#   docker build -t coarse2fine --build-arg TARGET=gpu . CUDA GPU
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/pets:/model:ro" coarse2fine
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/pets.onnx:/pets.onnx:ro" coarse2fine /pets.onnx
#   docker run --rm --gpus all -p 127.0.0.1:8000:8000 -v "$PWD/runs/pets:/model:ro" coarse2fine
FROM python:3.12-slim

ARG TARGET=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# torch with CUDA needs four gigabytes; the wheels without CUDA are on another index.
RUN if [ "$TARGET" = gpu ]; then \
        pip install torch torchvision; \
    else \
        pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu; \
    fi

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install '.[onnx,serve]' \
    && if [ "$TARGET" = gpu ]; then pip uninstall --yes onnxruntime && pip install onnxruntime-gpu; fi \
    && rm -rf /build/*

RUN useradd --create-home --uid 1000 server
# By number, so that Kubernetes can check runAsNonRoot. Works with --read-only --tmpfs /tmp.
USER 1000
WORKDIR /home/server
EXPOSE 8000
HEALTHCHECK --start-period=60s --timeout=5s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=3)"]

# coarse2fine is process 1, so it receives the SIGTERM of "docker stop" and finishes open requests.
ENTRYPOINT ["coarse2fine", "serve", "--host", "0.0.0.0"]
CMD ["/model"]
