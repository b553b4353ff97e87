# An image with pipelines baked in. The build fails when one cannot be installed completely; the container needs no
# network, no writable file system and no particular user.
#
#     docker build --build-arg MODELS="en_core_web_sm fr_core_news_sm" -t with-models .
#     docker run --rm --read-only --network none --user 12345 with-models check fr_core_news_sm

# Any image with Python 3.10 or later that can make a virtual environment.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir .
ARG MODELS=en_core_web_sm
RUN /opt/venv/bin/modelboot install ${MODELS}
# The container cannot write bytecode, and needs no pip. What is not below /opt/venv stays behind, caches too.
RUN /opt/venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/venv/lib \
    && /opt/venv/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN useradd --create-home --uid 10001 app
USER 10001
WORKDIR /home/app
ENV PATH=/opt/venv/bin:$PATH MODELBOOT_OFFLINE=1
HEALTHCHECK --interval=5m CMD ["modelboot", "verify"]
ENTRYPOINT ["modelboot"]
CMD ["list"]
COPY --from=build /opt/venv /opt/venv
