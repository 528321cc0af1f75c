"""The layers."""

# Written by taper-gen from spec/layers.txt: change that.

# ruff: noqa: F401, I001
from .multihead import MultiheadAttention
from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .identity import Identity
from .module import Module, register_module_forward_hook, register_module_forward_pre_hook
from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNBase, RNNCell, RNNCellBase
from .sparse import Embedding, EmbeddingBag
from .transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from .activation import (
    ReLU,
    SiLU,
    Mish,
    SELU,
    Hardswish,
    Hardsigmoid,
    Sigmoid,
    Tanh,
    LogSigmoid,
    Softsign,
    Tanhshrink,
    Hardtanh,
    ReLU6,
    RReLU,
    LeakyReLU,
    ELU,
    CELU,
    GELU,
    GLU,
    Softplus,
    Softshrink,
    Hardshrink,
    Threshold,
    PReLU,
    Softmax,
    Softmin,
    LogSoftmax,
    Softmax2d,
)
from .linear import (
    Linear,
    Bilinear,
    LazyLinear,
)
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    LazyConv1d,
    LazyConv2d,
    LazyConv3d,
    LazyConvTranspose1d,
    LazyConvTranspose2d,
    LazyConvTranspose3d,
)
from .pooling import (
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from .normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    SyncBatchNorm,
    LazyBatchNorm1d,
    LazyBatchNorm2d,
    LazyBatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LazyInstanceNorm1d,
    LazyInstanceNorm2d,
    LazyInstanceNorm3d,
    LayerNorm,
    RMSNorm,
    GroupNorm,
    CrossMapLRN2d,
    LocalResponseNorm,
)
from .loss import (
    MSELoss,
    L1Loss,
    SmoothL1Loss,
    HuberLoss,
    CrossEntropyLoss,
    NLLLoss,
    NLLLoss2d,
    BCELoss,
    BCEWithLogitsLoss,
    KLDivLoss,
    HingeEmbeddingLoss,
    SoftMarginLoss,
    MarginRankingLoss,
    CosineEmbeddingLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    MultiLabelMarginLoss,
    CTCLoss,
    PoissonNLLLoss,
    GaussianNLLLoss,
)
from .misc import (
    Flatten,
    Unflatten,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    AlphaDropout,
    FeatureAlphaDropout,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    Upsample,
    UpsamplingNearest2d,
    UpsamplingBilinear2d,
    PixelShuffle,
    PixelUnshuffle,
    ChannelShuffle,
    Unfold,
    Fold,
    CosineSimilarity,
    PairwiseDistance,
)
from .adaptive import AdaptiveLogSoftmaxWithLoss, FractionalMaxPool2d, FractionalMaxPool3d, LinearCrossEntropyLoss
from . import activation, linear, loss, pooling
from ..._module_names import submodules as _submodules

# PyTorch has these classes there, and so have pickles of whole modules.
activation.MultiheadAttention = MultiheadAttention
linear.Identity = Identity
loss.LinearCrossEntropyLoss = LinearCrossEntropyLoss
pooling.FractionalMaxPool2d, pooling.FractionalMaxPool3d = FractionalMaxPool2d, FractionalMaxPool3d
__getattr__ = _submodules(__name__)
