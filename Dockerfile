# An image with a pipeline baked in. The build fails when the pipeline cannot be installed whole; the running container
# needs no network, no writable file system and no particular user.
#
#     docker build --build-arg MODELS="en_core_web_sm fr_core_news_sm" -t with-models .
#     docker run --rm --read-only --network none with-models check fr_core_news_sm

ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE}

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir . && rm -rf /src/*

ARG MODELS=en_core_web_sm
RUN MODELBOOT_CACHE=0 modelboot install ${MODELS}

RUN useradd --create-home --uid 10001 app
USER app
WORKDIR /home/app
ENV MODELBOOT_OFFLINE=1

ENTRYPOINT ["modelboot"]
CMD ["list"]
