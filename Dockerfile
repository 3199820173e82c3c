# docker build -t resnet-dsl .
# docker run --rm --volume "$PWD:/work" resnet-dsl inspect resnet50
# With torch, for train and all that computes: docker build --build-arg EXTRAS=torch,images -t resnet-dsl:torch .

FROM python:3.13-slim AS build
ARG EXTRAS=""
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY cli cli
COPY specs specs
COPY studies studies
COPY resnet_dsl resnet_dsl
RUN python -m venv /opt/resnet-dsl && /opt/resnet-dsl/bin/pip install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
COPY --from=build /opt/resnet-dsl /opt/resnet-dsl
ENV PATH="/opt/resnet-dsl/bin:$PATH"
RUN useradd --uid 1000 --create-home somebody && mkdir /work && chown 1000 /work
USER 1000
WORKDIR /work
ENTRYPOINT ["resnet-dsl"]
CMD ["--help"]
