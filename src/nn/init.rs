//! Initialisers of parameters under PyTorch's names (`torch.nn.init`). They write in place, unrecorded; under one seed
//! the CPU gives PyTorch's values.

pub use crate::ops::init::{
    calculate_gain, fan_in_and_fan_out, init_constant_ as constant_, init_default_ as default_, init_dirac_ as dirac_,
    init_eye_ as eye_, init_kaiming_normal_ as kaiming_normal_, init_kaiming_uniform_ as kaiming_uniform_,
    init_normal_ as normal_, init_ones_ as ones_, init_orthogonal_ as orthogonal_, init_sparse_ as sparse_,
    init_trunc_normal_ as trunc_normal_, init_uniform_ as uniform_, init_xavier_normal_ as xavier_normal_,
    init_xavier_uniform_ as xavier_uniform_, init_zeros_ as zeros_,
};
